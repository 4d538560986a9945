# SPDX-License-Identifier: Apache-2.0
"""A random matrix that is never stored, of any law of weights."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from . import dispatch, html, reference, seeding, units, validation
from .aliases import Delay, Numbers, Place, Prob, Seed
from .delays import check_delay
from .evaluation import Family, coefficients, evaluate
from .hookspecs import Matrix, Problem, Product, Rule
from .inspection.methods import Part
from .matrix import RandomMatrix, is_key, operand, rank
from .primitives import replicate
from .reference import Bernoulli, FixedOutDegree, Weights

if TYPE_CHECKING:
    from .blocks import JITBlocks
    from .ring import Ring


class Operands(NamedTuple):
    """A matrix in the form that products take."""

    parameters: tuple[Any, ...]  # plain numbers, in the unit
    unit: Any
    matrix: Matrix
    log2_chunk: int | None
    rule: Rule
    valid: jax.Array | None  # of what was traced: is it a matrix?


@jax.tree_util.register_pytree_node_class
class JITMatrix(RandomMatrix):
    """A sparse random matrix that is never stored: W = loc + scale * x where connected.

    It is the general form of ``JITNormal`` and its like, with any law of x.

    ``M @ x`` and ``x @ M`` multiply by the values of a float array, or by events if x
    is boolean or wrapped in ``Events``; see ``synjit.binary_jitnmv`` for what the
    matrix is. Products by events cost what their active columns cost in ``M @ x``,
    where columns are pre-synaptic: list what fires, and go down its column. For the
    other convention, ``spikes @ W`` with W of shape (pre, post), take ``pre_post``,
    whose events are as cheap there.

    brainunit takes apart what it finds on the left, and does not know this class. Write
    ``M * u.mV`` for ``u.mV * M``. Where the weights have a unit and x is a quantity,
    ``x @ M`` raises with brainunit before 0.6: write ``M.T @ x``.

    A matrix is a pytree whose leaves are its weights, so that ``jax.grad`` by it and
    optimisers change nothing else. A seed, ``prob`` or ``origin`` of Python or NumPy
    numbers is part of its structure: ``jax.jit`` compiles again for another one. Where
    they are to change without that, pass arrays of JAX, which are leaves; a seed is
    then kept as a JAX key, in which ``jax.grad`` takes ``allow_int=True``.

    Parameters
    ----------
    loc, scale : float, array of one element, or Quantity
        Weights are ``loc + scale * x``.
    prob : float or rule
        Probability of a connection, in [0, 1], or another rule of connections:
        ``FixedOutDegree(k)``.
    seed : int, array or key, optional
        As in ``binary_jitnmv``; ``M.seed`` gives back the one that was drawn.
    weights : reference.Weights
        The law of x: ``Normal()``, ``Uniform()``, ``LogNormal(sigma)``,
        ``TruncatedNormal(low, high)``, ``Exponential()``, ``Constant()``, or one that
        ``Weights.from_quantile`` makes.
    shape : (int, int)
        Rows (post-synaptic) and columns (pre-synaptic).
    origin : (int, int), or integer array (2,)
        Row and column at which the window begins, as in ``binary_jitnmv``.
    self_connections : bool
        Whether entry (i, i) of the whole matrix may be a connection, as there.
    delay : int or Delays, optional
        How many steps a spike takes along each connection, for ``deliver``: a number,
        or the law of what is drawn for each. It is part of the structure, and products
        do not depend on it.
    corder : bool
        Hint on the order of work.
    backend : str, optional
        Name of a backend.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import synjit
    >>> law = synjit.Exponential()
    >>> M = synjit.JITMatrix(0.0, 2.0, 0.5, 42, weights=law, shape=(3, 5))
    >>> bool((M.todense() >= 0).all())
    True
    """

    # What a subclass is made of: names of its weights' parameters, which are leaves;
    # names of what decides the law, which is fixed.
    PARAMETERS: ClassVar[tuple[str, ...]] = ("loc", "scale")
    FIXED: ClassVar[tuple[str, ...]] = ("weights",)
    # Gives loc and scale of the parameters, plain numbers of one dtype.
    affine: ClassVar[Callable[..., tuple[Any, Any]]] = staticmethod(
        lambda loc, scale: (loc, scale)
    )

    @validation.one_by_one
    def __init__(
        self,
        loc: Numbers,
        scale: Numbers,
        prob: Prob,
        seed: Seed = None,
        *,
        weights: Weights,
        shape: tuple[int, int],
        origin: Place = (0, 0),
        self_connections: bool = True,
        delay: Delay = None,
        corder: bool = True,
        backend: str | None = None,
    ) -> None:
        if not isinstance(weights, Weights):
            raise TypeError(
                "weights must be a law, as synjit.Normal() or synjit.LogNormal(0.5), "
                f"got {validation.describe(weights)}"
            )
        self.loc, self.scale, self.weights = loc, scale, weights
        self._finish(
            prob, seed, shape, origin, corder, backend, self_connections, delay
        )

    def _finish(
        self,
        prob: Prob,
        seed: Any,
        shape: tuple[int, int],
        origin: Any,
        corder: bool,
        backend: str | None,
        self_connections: bool = True,
        delay: Delay = None,
    ) -> None:
        """Check the parameters, which are set already, and set the rest."""
        for name in self.PARAMETERS:
            setattr(self, name, units.gather(getattr(self, name)))
        self._check_parameters()
        self._stored_shape = validation.check_shape(shape)
        validation.check_origin(origin, self._stored_shape)
        self.origin = tuple(origin)
        self.self_connections = validation.check_flag(
            self_connections, "self_connections"
        )
        if isinstance(prob, Bernoulli):
            prob = prob.prob
        self.prob = units.gather(prob)
        self._check_connections()
        self.seed = _kept_seed(seed)
        self._known = _Known(
            isinstance(self.seed, int),
            isinstance(self.prob, (int, float, np.number, FixedOutDegree)),
            all(isinstance(start, (int, np.integer)) for start in self.origin),
        )
        check_delay(delay)
        self.delay = delay
        self.corder = validation.check_flag(corder, "corder")
        self.backend = backend
        self.transposed = False

    @classmethod
    def pre_post(
        cls, *parameters: Any, shape: tuple[int, int], origin: Any = (0, 0), **rest: Any
    ) -> Self:
        """Make a matrix of shape (pre, post), event-driven in ``spikes @ W``.

        It is the transpose of the matrix of shape (post, pre) with the same seed;
        ``origin`` is the first (pre, post). All else is as of the class.
        """
        n_pre, n_post = validation.check_shape(shape)
        validation.check_origin(origin, (n_pre, n_post))
        first_pre, first_post = origin
        rest |= {"shape": (n_post, n_pre), "origin": (first_post, first_pre)}
        return cls(*parameters, **rest).T

    # --- its law ------------------------------------------------------------------

    def law(self) -> Weights:
        """Give the law of x."""
        return self.weights

    def family(self) -> Family:
        """Say how the weights depend on the parameters."""
        law = self.law()
        return Family(type(self).affine, law.mean, law.spread)

    def first_parameter(self) -> Any:
        """Give the parameter that has a unit if any has."""
        values = [getattr(self, name) for name in self.PARAMETERS]
        return next(filter(units.is_quantity, values), values[0])

    def _check_parameters(self) -> validation.Parameters:
        values = [getattr(self, name) for name in self.PARAMETERS]
        return validation.check_parameters(values, self.PARAMETERS)

    def _check_connections(self) -> validation.Connections:
        return validation.check_connections(
            self.prob, self._stored_shape, self.origin, self.self_connections
        )

    # --- what it is ---------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        m, n = self._stored_shape
        return (n, m) if self.transposed else (m, n)

    @property
    def dtype(self) -> np.dtype:
        """Type of an entry."""
        return validation.result_dtype(*self._check_parameters().numbers)

    @property
    def T(self) -> Self:  # noqa: N802, as in NumPy
        """The transpose."""
        return self._with(transposed=not self.transposed)

    def todense(self) -> Any:
        """Write the matrix out."""
        result = self._product("dense", None, None)
        return result.T if self.transposed else result

    def _parts(self) -> list[Part]:
        """Give itself, which begins where it begins."""
        return [Part(0, 0, self)]

    def __repr__(self) -> str:
        """Show a call that makes the same matrix."""
        shown = ", ".join(f"{name}={text}" for name, text in self._shown().items())
        return f"{type(self).__name__}({shown})" + (".T" if self.transposed else "")

    def _repr_html_(self) -> str:
        """Show the same in a notebook, and how much is not stored."""
        name = type(self).__name__ + (", transposed" if self.transposed else "")
        rows = [*self._shown().items(), *html.connections([self])]
        return html.table(name, rows)

    def _shown(self) -> dict[str, str]:
        """Give the arguments that are not as usual, written out."""
        given = self._arguments()
        of_class = inspect.signature(type(self)).parameters
        names = {"origin", "self_connections", "delay", "corder", "backend"}
        names &= of_class.keys()
        usual = {name: of_class[name].default for name in names}
        return {
            name: _written(value)
            for name, value in given.items()
            if name not in usual or (value is not usual[name] and value != usual[name])
        }

    def _arguments(self) -> dict[str, Any]:
        """Give the arguments that make the matrix, before it is transposed."""
        names = (*self.PARAMETERS, "prob", "seed", *self.FIXED)
        given = {name: getattr(self, name) for name in names}
        given |= {"shape": self._stored_shape, "origin": self.origin}
        names = ("self_connections", "delay", "corder", "backend")
        return given | {name: getattr(self, name) for name in names}

    # --- products -----------------------------------------------------------------

    def __matmul__(self, other: Any) -> Any:
        """Multiply an array, or events, from the left."""
        value, events = operand(self, other)
        product: Product = "events" if events else "floats"
        return self.multiply(value, "x", rank(value), product)

    def multiply(self, x: Any, name: str, axes: int, product: Product) -> Any:
        """Multiply an array of one or two axes, called by its name in errors."""
        shape, transpose = self._stored_shape, self.transposed
        value, unit = validation.check_operand(x, name, shape, transpose, axes)
        value = replicate(value)
        result = self._product(product, value[:, None] if axes == 1 else value, unit)
        return result[:, 0] if axes == 1 else result

    def _product(self, product: Product, value: Any, unit: Any) -> Any:
        own = self.operands()
        factors = [*own.parameters, *([] if value is None else [value])]
        dtype = validation.result_dtype(*factors)
        accurate = validation.compute_dtype(dtype)
        problem = self.problem(product, own)
        if product == "floats":
            problem = replace(problem, dtype=str(accurate))
        loc, scale = coefficients(self.family(), own.parameters, accurate)
        result = evaluate(
            loc,
            scale,
            own.matrix,
            own.valid,
            value,
            dtype=dtype,
            problem=problem,
            backend=dispatch.resolve(self.backend),
        )
        return units.attach(result, own.unit, unit)

    def problem(self, product: Product, own: Operands) -> Problem:
        """State a product of integers with this matrix and its operands."""
        return Problem(
            product=product,
            shape=self._stored_shape,
            transpose=self.transposed and product != "dense",
            batch=0,
            dtype="int32",
            corder=self.corder,
            log2_chunk=own.log2_chunk,
            weights=len(own.matrix.weights),
            platform="",
            rule=own.rule,
            self_connections=self.self_connections,
        )

    # --- delays -------------------------------------------------------------------

    def ring(self, batch: int | None = None, slots: int | None = None) -> Ring:
        """Make a ring for ``deliver``, in which nothing is on its way.

        Parameters
        ----------
        batch : int, optional
            Number of vectors of spikes that are delivered at once.
        slots : int, optional
            One more than the longest delay, if left.
        """
        return self._blocks().ring(batch, slots)

    def deliver(self, spikes: Any, ring: Ring, now: Any) -> Ring:
        """Send spikes through the connections, to arrive when their delays are over.

        Each spike of column j adds the weight of its connection with row i to the slot
        of step ``now + d(i, j)``. What arrives at one row in one step is summed as in
        ``self @ spikes``, exactly: bits depend on nothing but the numbers.

        Derivatives are those of the product, by the weights, the ring, and by spikes
        that are floats; they are made slower than the delivery itself.

        Parameters
        ----------
        spikes : array (n,), or (n, batch) where the ring has a batch
            Entries above zero are spikes.
        ring : Ring
            Of m rows, in the weights' dimension.
        now : int, or integer array ()
            The step in which the spikes are.

        Returns
        -------
        Ring

        Raises
        ------
        TypeError, ValueError
            The matrix has no delay or is a transpose, or the ring does not fit.
        BackendError
            No backend delivers on this platform.

        Examples
        --------
        >>> import jax.numpy as jnp
        >>> import synjit
        >>> delay = synjit.normal_delays(1.5, 0.75, dt=0.1)
        >>> M = synjit.JITNormal(1.0, 0.1, 0.5, 42, delay=delay, shape=(3, 5))
        >>> spikes = jnp.array([True, False, True, True, False])
        >>> ring = M.deliver(spikes, M.ring(), 0)
        >>> bool(jnp.allclose(ring.value.sum(0), M @ spikes))
        True
        """
        return self._blocks().deliver(spikes, ring, now)

    def _blocks(self) -> JITBlocks:
        from .blocks import JITBlocks

        return JITBlocks([[self]])

    def operands(self) -> Operands:
        """Bring what the matrix is made of into the form that products take."""
        numbers, unit = self._check_parameters()
        own = self._check_connections()
        start = validation.check_origin(self.origin, self._stored_shape)
        valid = own.valid
        if start.valid is not None:
            valid = start.valid if valid is None else valid & start.valid
        words = seeding.check_seed(self.seed)
        matrix = Matrix(words, start.words, own.connectivity, self.law().table)
        return Operands(numbers, unit, matrix, own.log2_chunk, own.rule, valid)

    def _scaled(self, factor: Any) -> Self:
        changes = {name: getattr(self, name) * factor for name in self.PARAMETERS}
        return self._with(**changes)

    # --- as a pytree --------------------------------------------------------------

    def replace(self, **changes: Any) -> Self:
        """Make a matrix of the same kind with other arguments.

        What was a leaf stays one. (Of a tree of axes for ``in_axes``, whose leaves are
        None or integers, anything can be replaced.)

        Parameters
        ----------
        **changes
            As of the class; of a transpose, the shape and the origin are its own.

        Raises
        ------
        TypeError, ValueError, brainunit.DimensionMismatchError
            As the class raises them.
        """
        given = self._arguments()
        unknown = changes.keys() - given
        if unknown:
            raise TypeError(
                f"a {type(self).__name__} has no {', '.join(sorted(unknown))} to be "
                f"replaced; it has {', '.join(given)}"
            )
        if any(getattr(self, name) is None for name in self.PARAMETERS):
            return self._with(**changes)  # a tree of axes
        if self.transposed:
            own = changes.keys() & {"shape", "origin"}
            changes |= {name: tuple(changes[name])[::-1] for name in own}
        new = type(self)(**(given | changes))
        known = _Known(*map(min, new._known, self._known))  # noqa: SLF001
        seed = new.seed if known.seed else _key(seeding.check_seed(new.seed))
        return new._with(transposed=self.transposed, _known=known, seed=seed)  # noqa: SLF001

    def _with(self, **changes: Any) -> Self:
        """Change attributes, unchecked."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__ | changes)
        return new

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Weights are leaves; so are seed, prob and origin, unless plain numbers.

        A plain prob stays known under ``jax.jit``, which lets a backend prepare. A seed
        that is a leaf is a key, which nothing adds to or rounds.
        """
        known = self._known
        more = (self.seed, self.prob, self.origin)
        leaves = (None if k else leaf for k, leaf in zip(known, more, strict=True))
        kept = tuple(leaf if k else None for k, leaf in zip(known, more, strict=True))
        law = tuple(getattr(self, name) for name in self.FIXED)
        fixed = (
            self._stored_shape,
            self.self_connections,
            self.delay,
            self.corder,
            self.backend,
            self.transposed,
        )
        parameters = (getattr(self, name) for name in self.PARAMETERS)
        return (*parameters, *leaves), (known, kept, law, fixed)

    @classmethod
    def tree_unflatten(cls, aux: tuple[Any, ...], leaves: tuple[Any, ...]) -> Self:
        """Put the leaves back, unchecked: JAX flattens things that are no numbers."""
        new = object.__new__(cls)
        new._known, kept, law, fixed = aux
        *parameters, seed, prob, origin = leaves
        for name, value in zip(cls.PARAMETERS, parameters, strict=True):
            setattr(new, name, value)
        for name, value in zip(cls.FIXED, law, strict=True):
            setattr(new, name, value)
        new.seed, new.prob, new.origin = (
            own if k else leaf
            for k, own, leaf in zip(new._known, kept, (seed, prob, origin), strict=True)
        )
        new._stored_shape, new.self_connections, new.delay, *fixed = fixed
        new.corder, new.backend, new.transposed = fixed
        return new

    def __getstate__(self) -> dict[str, Any]:
        """Give what is pickled: a key as its words, and the version of the draw."""
        state = self.__dict__ | {"draw_version": reference.DRAW_VERSION}
        if not self._known.seed:
            state["seed"] = np.asarray(jax.random.key_data(self.seed))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what was pickled, if it is still the same matrix."""
        version = state.pop("draw_version", None)
        if version != reference.DRAW_VERSION:
            raise ValueError(
                f"this {type(self).__name__} was stored under version {version} of the "
                f"draw, and this synjit has version {reference.DRAW_VERSION}, which "
                "draws another matrix from the same seed: load it with the synjit that "
                "stored it, and store what it draws (todense), or make it anew"
            )
        self.__dict__.update(state)
        if not self._known.seed:
            self.seed = jax.random.wrap_key_data(self.seed, impl=_KEY)


class _Known(NamedTuple):
    """Which of these are plain numbers, and part of the structure."""

    seed: bool
    prob: bool
    origin: bool


_KEY = "threefry2x32"  # whose data are two words; only kept in it, not drawn from


def _kept_seed(seed: Any) -> Any:
    """Keep a seed as an integer or, if it is an array of JAX, as a key."""
    words = seeding.check_seed(seed)
    if isinstance(seed, jax.Array):
        return _key(words)
    low, high = (int(word) for word in words)
    return (high << 32) | low


def _key(words: Any) -> jax.Array:
    """Make a JAX key, high word first, of two words."""
    return jax.random.wrap_key_data(jnp.asarray(words[::-1]), impl=_KEY)


def _written(value: Any) -> str:
    """Write a number so that Python reads the same, given jax, jnp, np and Quantity."""
    if isinstance(value, jax.core.Tracer):
        return repr(value)
    if is_key(value):
        words = _written(jax.random.key_data(value))
        return f"jax.random.wrap_key_data({words}, impl={_KEY!r})"
    if units.is_quantity(value):
        return f"Quantity({_written(value.mantissa)}, {str(value.unit)!r})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_written, value))})"
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        array = np.asarray(value)
        module = "jnp" if isinstance(value, jax.Array) else "np"
        return f"{module}.array({array.tolist()!r}, {str(array.dtype)!r})"
    return f"float('{value}')" if value in {math.inf, -math.inf} else repr(value)
