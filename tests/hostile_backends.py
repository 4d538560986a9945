# SPDX-License-Identifier: Apache-2.0
"""Backends that are wrong, each in its own way, with the words that name its fault."""

import threading
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from synjit import Backend, hookimpl
from synjit.backends.numba_cpu import plugin as honest


class Honest:
    """A right backend, for the others to spoil."""

    platforms = ("cpu",)
    product = "events"

    @hookimpl
    def synjit_backend(self):
        name = type(self).__name__
        return Backend(name, "1", self.platforms, priority=1000)

    @hookimpl
    def synjit_refuses(self, problem):
        return ""

    @hookimpl
    def synjit_events(self, problem, seed, origin, law, events):
        return self.events(problem, seed, origin, law, events)

    @hookimpl
    def synjit_floats(self, problem, seed, origin, law, values):
        return self.floats(problem, seed, origin, law, values)

    @hookimpl
    def synjit_dense(self, problem, seed, origin, law):
        return self.dense(problem, seed, origin, law)

    def events(self, *operands):
        return honest.synjit_events(*operands)

    def floats(self, *operands):
        return honest.synjit_floats(*operands)

    def dense(self, *operands):
        return honest.synjit_dense(*operands)


class HonestWeighted(Honest):
    """One that weighs the sums itself as well."""

    @hookimpl
    def synjit_weighted(self, problem, seed, origin, law, events, w_loc, w_scale):
        return self.weighted(problem, seed, origin, law, events, w_loc, w_scale)

    def weighted(self, *operands):
        return honest.synjit_weighted(*operands)


class HonestBlocks(Honest):
    """One that joins blocks as well."""

    product = "blocks"

    @hookimpl
    def synjit_blocks(self, problem, seed, origin, law, events, w_loc, w_scale):
        return self.blocks(problem, seed, origin, law, events, w_loc, w_scale)

    def blocks(self, *operands):
        return honest.synjit_blocks(*operands)


def hostile():
    """List the wrong ones that have been defined."""
    kinds = [*Honest.__subclasses__(), *HonestWeighted.__subclasses__()]
    return [c for c in (*kinds, *HonestBlocks.__subclasses__()) if hasattr(c, "fault")]


class WrongInLastChunk(Honest):
    fault = "only rows of the last chunk are wrong"

    def events(self, problem, seed, origin, law, events):
        n, z = super().events(problem, seed, origin, law, events)
        if problem.transpose or problem.shape[0] % 256 == 0:
            return n, z
        return n.at[-1].add(events[0].astype(jnp.int32)), z


class WrongForBatches(Honest):
    fault = "the first vector of the batch is right, others are not"

    def events(self, *operands):
        return [jnp.repeat(x[:, :1], x.shape[1], 1) for x in super().events(*operands)]


class FusedWeights(HonestWeighted):
    fault = "synjit_weighted, w_loc=0.3, w_scale=-1.7: y"

    def weighted(self, problem, seed, origin, law, events, w_loc, w_scale):
        n, z = super().events(problem, seed, origin, law, events)
        # One rounding too few: the product with N is exact here, as if fused.
        high = w_loc.astype(jnp.bfloat16).astype(w_loc.dtype)
        rest = (w_loc - high) * n + w_scale * (z * w_loc.dtype.type(2.0**-16))
        return high * n + rest


class WeightsSwapped(HonestWeighted):
    fault = "synjit_weighted, w_loc=0.3, w_scale=-1.7: y"

    def weighted(self, *operands):
        *others, w_loc, w_scale = operands
        return super().weighted(*others, w_scale, w_loc)


class OneOriginForAllBlocks(HonestBlocks):
    fault = "of the groups of rows"

    def blocks(self, problem, seed, origin, *others):
        rows = jnp.array([block.row for block in problem.grid.blocks])[:, None]
        origin = jnp.where(rows == 1, origin[:1], origin)
        return super().blocks(problem, seed, origin, *others)


class SkipsBlocksWithoutEvents(HonestBlocks):
    fault = "only the signs of zeros differ"

    def blocks(self, problem, seed, origin, law, events, w_loc, w_scale):
        active = jnp.stack(
            [events[problem.grid.window(b)[1]].any() for b in problem.grid.blocks]
        )
        w_loc, w_scale = jnp.where(active, w_loc, 0), jnp.where(active, w_scale, 0)
        return super().blocks(problem, seed, origin, law, events, w_loc, w_scale)


class IgnoresRowOfOrigin(Honest):
    fault = "as if the origin's row were 0"

    def events(self, problem, seed, origin, law, events):
        return super().events(problem, seed, origin.at[0].set(0), law, events)


class WeightsOfOtherRows(Honest):
    fault = "N is right: the connections are, and their weights z are not"

    def events(self, *operands):
        n, z = super().events(*operands)
        return n, jnp.roll(z, 1, axis=0)


class RaisesInAHelper(Honest):
    fault = "hostile_backends.py:"

    def events(self, *operands):
        return _missing(*operands)


def _missing(problem, *_):
    raise KeyError(problem.product)


class TransposeIsNoOp(Honest):
    fault = "it is the product with W, not W.T"

    def events(self, problem, *operands):
        m, n = problem.shape
        if m == n:
            problem = replace(problem, transpose=False)
        return super().events(problem, *operands)


class IgnoresOrigin(Honest):
    fault = "as if the origin were (0, 0): it is ignored"

    def events(self, problem, seed, origin, law, events):
        return super().events(problem, seed, jnp.zeros_like(origin), law, events)


class SumsInFloat32(Honest):
    fault = "are the sums made in floats?"

    def events(self, problem, seed, origin, law, events):
        problem = replace(problem, product="floats", dtype="float32")
        values = events.astype(jnp.float32)
        sums = super().floats(problem, seed, origin, law, values)
        return [x.astype(jnp.int32) for x in sums]


class CountsNaN(Honest):
    """Events come as booleans, so that a NaN can be miscounted among floats only."""

    product = "floats"
    fault = "a NaN or an infinity must reach the connected rows, and no others"

    def floats(self, problem, seed, origin, law, values):
        values = jnp.where(jnp.isnan(values), jnp.ones_like(values), values)
        return super().floats(problem, seed, origin, law, values)


def through_python(change, arrays):
    """Call a Python function when the product runs, on its results."""
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays]
    return jax.pure_callback(change, shapes, list(arrays))


class WrongEveryHundredthCall(Honest):
    fault = "not deterministic"
    calls = 0

    def events(self, *operands):
        def change(arrays):
            self.calls += 1
            return [np.asarray(x) + (self.calls % 100 == 0) for x in arrays]

        return through_python(change, super().events(*operands))


class IgnoresHighWordOfSeed(Honest):
    fault = "as if the high word of the seed were 0"

    def events(self, problem, seed, *operands):
        return super().events(problem, seed.at[1].set(0), *operands)


class WritesIntoItsInput(Honest):
    fault = "it wrote into its input 'events'"

    def events(self, *operands):
        sums = super().events(*operands)
        return copied(sums, operands[-1], "clears_events")


class LeavesRowsUnwritten(Honest):
    fault = "it was never written"

    def events(self, *operands):
        sums = super().events(*operands)
        return copied(sums, operands[-1], "only_if_any")


def copied(sums, events, how):
    """Copy sums in a compiled function that does not do it always, or not only it."""
    from hostile_handlers import target

    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in sums]
    return jax.ffi.ffi_call(target(how), shapes)(events, *sums)


class WrongDtype(Honest):
    fault = "N has the dtype uint32, not int32"

    def events(self, *operands):
        n, z = super().events(*operands)
        return n.astype(jnp.uint32), z


class WrongShape(Honest):
    fault = "N has the shape (1, 2100, 1), not (2100, 1)"

    def events(self, *operands):
        return [x[None] for x in super().events(*operands)]


class WrongNumber(Honest):
    fault = "it returned 1 arrays, not 2"

    def events(self, *operands):
        return super().events(*operands)[:1]


class OverflowsAt100000Rows(Honest):
    fault = "only rows beyond 32767 are wrong: does an index overflow?"

    def events(self, problem, *operands):
        n, z = super().events(problem, *operands)
        rows = np.arange(len(n)).astype(np.int16).astype(np.int64) % len(n)
        return n[rows], z[rows]


class RaisesWhenTraced(Honest):
    fault = "it raised ZeroDivisionError: no trace of me"

    def events(self, *operands):
        raise ZeroDivisionError("no trace of me")


class RaisesWhenRun(Honest):
    fault = "ran into a wall"

    def events(self, *operands):
        def change(arrays):
            raise OSError("ran into a wall")

        return through_python(change, super().events(*operands))


class Hangs(Honest):
    fault = "it hangs: no end within 3 seconds, at events/prob"
    release = threading.Event()

    def events(self, *operands):
        self.release.wait(60)
        return super().events(*operands)


class HasNotItsPlatform(Honest):
    fault = "no_such_target"

    def events(self, problem, seed, origin, law, events):
        shape = jax.ShapeDtypeStruct(
            (problem.shape[problem.transpose], problem.batch), jnp.int32
        )
        return jax.ffi.ffi_call("no_such_target", (shape, shape))(events)
