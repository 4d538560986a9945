# SPDX-License-Identifier: Apache-2.0
"""Backends that are wrong, each in its own way, with the words that name its fault."""

import threading
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from synjit import Backend, hookimpl
from synjit.backends.numba_cpu import plugin as honest
from synjit.hookspecs import matrix_of_block


class Honest:
    """A right backend, for the others to spoil.

    Attributes
    ----------
    asked, transpose : str, bool
        The product, and the direction, in which its fault is met.
    """

    platforms = ("cpu",)
    asked = "events"
    transpose = False

    @hookimpl
    def synjit_backend(self):
        name = type(self).__name__
        return Backend(name, "1", self.platforms, contract=2, priority=1000)

    @hookimpl
    def synjit_refuses(self, problem):
        return None

    @hookimpl
    def synjit_product(self, problem, matrix, x):
        return self.product(problem, matrix, x)

    @hookimpl
    def synjit_dense(self, problem, matrix):
        return self.dense(problem, matrix)

    def product(self, problem, matrix, x):
        return honest.synjit_product(problem, matrix, x)

    def dense(self, problem, matrix):
        return honest.synjit_dense(problem, matrix)


class HonestWeighted(Honest):
    """One that weighs the sums of a grid itself as well."""

    @hookimpl
    def synjit_weighted(self, problem, matrix, x, w_loc, w_scale):
        return self.weighted(problem, matrix, x, w_loc, w_scale)

    def weighted(self, problem, matrix, x, w_loc, w_scale):
        return honest.synjit_weighted(problem, matrix, x, w_loc, w_scale)

    def sums(self, problem, matrix, x):
        """Give N and Z of a grid of one block."""
        one = matrix_of_block(problem, matrix, 0)
        return self.product(problem.of_block(0), one, x)


def hostile(base=Honest):
    """List the wrong ones that have been defined."""
    kinds = base.__subclasses__()
    wrong = [kind for kind in kinds if "fault" in vars(kind)]
    return wrong + [each for kind in kinds for each in hostile(kind)]


class WrongInLastChunk(Honest):
    fault = "only rows of the last chunk are wrong"

    def product(self, problem, matrix, x):
        n, z = super().product(problem, matrix, x)
        if problem.transpose or problem.shape[0] % 256 == 0:
            return n, z
        return n.at[-1].add(x[0].astype(n.dtype)), z


class WrongForBatches(Honest):
    fault = "the first vector of the batch is right, others are not"

    def product(self, *given):
        return [jnp.repeat(y[:, :1], y.shape[1], 1) for y in super().product(*given)]


class FusedWeights(HonestWeighted):
    fault = "synjit_weighted, w_loc=0.3, w_scale=-1.7: y"

    def weighted(self, problem, matrix, x, w_loc, w_scale):
        n, z = self.sums(problem, matrix, x)
        # One rounding too few: the product with N is exact here, as if fused.
        w_loc, w_scale = w_loc[0], w_scale[0]
        high = w_loc.astype(jnp.bfloat16).astype(w_loc.dtype)
        rest = (w_loc - high) * n + w_scale * (z * w_loc.dtype.type(2.0**-16))
        return high * n + rest


class WeightsSwapped(HonestWeighted):
    fault = "synjit_weighted, w_loc=0.3, w_scale=-1.7: y"

    def weighted(self, problem, matrix, x, w_loc, w_scale):
        return super().weighted(problem, matrix, x, w_scale, w_loc)


class OneOriginForAllBlocks(HonestWeighted):
    asked = "weighted"
    fault = "of the groups of rows"

    def weighted(self, problem, matrix, *others):
        rows = jnp.array([block.row for block in problem.grid.blocks])[:, None]
        origin = jnp.where(rows == 1, matrix.origin[:1], matrix.origin)
        return super().weighted(problem, matrix._replace(origin=origin), *others)


class SkipsBlocksWithoutEvents(HonestWeighted):
    asked = "weighted"
    fault = "only the signs of zeros differ"

    def weighted(self, problem, matrix, x, w_loc, w_scale):
        if problem.transpose:
            active = x.any()
        else:
            active = jnp.stack(
                [x[problem.grid.window(b)[1]].any() for b in problem.grid.blocks]
            )
        w_loc, w_scale = jnp.where(active, w_loc, 0), jnp.where(active, w_scale, 0)
        return super().weighted(problem, matrix, x, w_loc, w_scale)


class IgnoresRowOfOrigin(Honest):
    fault = "as if the origin's row were 0"

    def product(self, problem, matrix, x):
        origin = matrix.origin.at[0].set(0)
        return super().product(problem, matrix._replace(origin=origin), x)


class WeightsOfOtherRows(Honest):
    fault = "N is right: the connections are, and their weights z are not"

    def product(self, *given):
        n, z = super().product(*given)
        return n, jnp.roll(z, 1, axis=0)


class RaisesInAHelper(Honest):
    fault = "hostile_backends.py:"

    def product(self, *given):
        return _missing(*given)


def _missing(problem, *_):
    raise KeyError(problem.product)


class TransposeIsNoOp(Honest):
    transpose = True
    fault = "it is the product with W, not W.T"

    def product(self, problem, *operands):
        m, n = problem.shape
        if m == n:
            problem = replace(problem, transpose=False)
        return super().product(problem, *operands)


class IgnoresOrigin(Honest):
    fault = "as if the origin were (0, 0): it is ignored"

    def product(self, problem, matrix, x):
        origin = jnp.zeros_like(matrix.origin)
        return super().product(problem, matrix._replace(origin=origin), x)


class SumsInFloat32(Honest):
    fault = "are the sums made in floats?"

    def product(self, problem, matrix, x):
        floats = replace(problem, product="floats", dtype="float32")
        sums = super().product(floats, matrix, x.astype(jnp.float32))
        return [y.astype(problem.dtype) for y in sums]


class CountsNaN(Honest):
    """Events come as booleans, so that a NaN can be miscounted among floats only."""

    asked = "floats"
    fault = "a NaN or an infinity must reach the connected rows, and no others"

    def product(self, problem, matrix, x):
        if problem.product == "floats":
            x = jnp.where(jnp.isnan(x), jnp.ones_like(x), x)
        return super().product(problem, matrix, x)


def through_python(change, arrays):
    """Call a Python function when the product runs, on its results."""
    shapes = [jax.ShapeDtypeStruct(y.shape, y.dtype) for y in arrays]
    return jax.pure_callback(change, shapes, list(arrays))


class WrongEveryHundredthCall(Honest):
    fault = "not deterministic"
    calls = 0

    def product(self, *given):
        def change(arrays):
            self.calls += 1
            return [np.asarray(y) + (self.calls % 100 == 0) for y in arrays]

        return through_python(change, super().product(*given))


class VariesInItsLastBits(Honest):
    """Each call adds in another order, as atomic additions of floats do."""

    asked = "floats"
    fault = "called twice, it gave two different A: not deterministic"
    calls = 0

    def product(self, problem, *given):
        def change(arrays):
            self.calls += 1
            return [np.asarray(y) * (1 + self.calls % 2 * self.off) for y in arrays]

        sums = super().product(problem, *given)
        return through_python(change, sums) if problem.product == "floats" else sums

    off = np.float32(2.0**-23)


class IgnoresHighWordOfSeed(Honest):
    fault = "as if the high word of the seed were 0"

    def product(self, problem, matrix, x):
        seed = matrix.seed.at[1].set(0)
        return super().product(problem, matrix._replace(seed=seed), x)


class WritesIntoItsInput(Honest):
    fault = "it wrote into its input 'x'"

    def product(self, problem, matrix, x):
        return copied(super().product(problem, matrix, x), x, "clears_events")


class LeavesRowsUnwritten(Honest):
    fault = "it was never written"

    def product(self, problem, matrix, x):
        return copied(super().product(problem, matrix, x), x, "only_if_any")


def copied(sums, events, how):
    """Copy sums in a compiled function that does not do it always, or not only it."""
    from hostile_handlers import target

    shapes = [jax.ShapeDtypeStruct(y.shape, y.dtype) for y in sums]
    return jax.ffi.ffi_call(target(how), shapes)(events, *sums)


class WrongDtype(Honest):
    fault = "N has the dtype uint32, not int32"

    def product(self, *given):
        n, z = super().product(*given)
        return n.astype(jnp.uint32), z


class WrongShape(Honest):
    fault = "N has the shape (1, 2100, 1), not (2100, 1)"

    def product(self, *given):
        return [y[None] for y in super().product(*given)]


class WrongNumber(Honest):
    fault = "it returned 1 arrays, not 2"

    def product(self, *given):
        return super().product(*given)[:1]


class OverflowsAt100000Rows(Honest):
    fault = "only rows beyond 32767 are wrong: does an index overflow?"

    def product(self, *given):
        n, z = super().product(*given)
        rows = np.arange(len(n)).astype(np.int16).astype(np.int64) % len(n)
        return n[rows], z[rows]


class RaisesWhenTraced(Honest):
    fault = "it raised ZeroDivisionError: no trace of me"

    def product(self, *given):
        raise ZeroDivisionError("no trace of me")


class RaisesWhenRun(Honest):
    fault = "ran into a wall"

    def product(self, *given):
        def change(arrays):
            raise OSError("ran into a wall")

        return through_python(change, super().product(*given))


class Hangs(Honest):
    fault = "it hangs: no end within 3 seconds, at events/prob"
    release = threading.Event()

    def product(self, *given):
        self.release.wait(60)
        return super().product(*given)


class HasNotItsPlatform(Honest):
    fault = "no_such_target"

    def product(self, problem, matrix, x):
        shape = jax.ShapeDtypeStruct(
            (problem.shape[problem.transpose], problem.batch), jnp.int32
        )
        return jax.ffi.ffi_call("no_such_target", (shape, shape))(x)
