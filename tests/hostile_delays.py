# SPDX-License-Identifier: Apache-2.0
"""Backends that deliver wrong: at another step, at another slot, or another sum."""

from dataclasses import replace

import jax.numpy as jnp
from hostile_backends import Honest

from synjit import hookimpl
from synjit.backends.numba_cpu import plugin as honest


class HonestDelays(Honest):
    """One that delivers, for the others to spoil."""

    asked = "deliver"

    @hookimpl
    def synjit_deliver(self, problem, matrix, delays, x, w_loc, w_scale, ring, now):
        return self.deliver(problem, matrix, delays, x, w_loc, w_scale, ring, now)

    def deliver(self, *given):
        return honest.synjit_deliver(*given)


class IgnoresDelays(HonestDelays):
    """As if every bucket of a table were full, and its own delay the shortest."""

    fault = "it is as if delays were the shortest"

    def deliver(self, problem, matrix, delays, *others):
        firsts = [block.delays[0] for block in problem.grid.blocks]
        first = jnp.isin(jnp.arange(len(delays)), jnp.array(firsts))
        # No bucket has words of its own, and the alias of all is number 0.
        return super().deliver(
            problem, matrix, jnp.where(first, delays, 0).astype(jnp.uint32), *others
        )


class IgnoresTheStep(HonestDelays):
    fault = "it is as if the step were in slot 0"

    def deliver(self, *given):
        *others, now = given
        return super().deliver(*others, jnp.zeros_like(now))


class OneSlotTooLate(HonestDelays):
    fault = "everything arrives one slot too late"

    def deliver(self, problem, *given):
        *others, ring, now = given
        late = (now + 1) % jnp.uint32(problem.slots)
        return super().deliver(problem, *others, ring, late)


class DoesNotWrap(HonestDelays):
    """What would arrive beyond the last slot is lost."""

    fault = "only slots before that of the step are wrong: does the ring wrap?"

    def deliver(self, problem, *given):
        *_, ring, now = given
        beyond = jnp.arange(problem.slots)[:, None, None] < now
        return jnp.where(beyond, ring, super().deliver(problem, *given))


class WeighsConnectionsOneByOne(HonestDelays):
    fault = "it is nearly right: are connections weighed one by one"

    def deliver(self, problem, matrix, delays, x, *others):
        *weights, ring, now = others
        for j in range(problem.shape[1]):
            own = x & (jnp.arange(problem.shape[1]) == j)[:, None]
            ring = super().deliver(problem, matrix, delays, own, *weights, ring, now)
        return ring


class AddsZeros(HonestDelays):
    fault = "only the signs of zeros differ: is 0 added where nothing arrives?"

    def deliver(self, *given):
        ring = super().deliver(*given)
        return jnp.where(ring == 0, 0, ring)


class OneTableOfDelays(HonestDelays):
    fault = "of the groups of rows"

    def deliver(self, problem, *given):
        blocks = [
            b._replace(delays=(problem.grid.blocks[0].delays if b.row else b.delays))
            for b in problem.grid.blocks
        ]
        grid = problem.grid._replace(blocks=tuple(blocks))
        return super().deliver(replace(problem, grid=grid), *given)
