# SPDX-License-Identifier: Apache-2.0
"""The cortical microcircuit with connections that are never stored.

77,169 leaky integrate-and-fire neurons under one square millimetre of cortex,
in eight populations, with about 0.3 billion synapses of normally distributed
weight (T. C. Potjans and M. Diesmann, Cerebral Cortex 24 (2014) 785). The synapses
between two populations are one `synjit.JITTruncatedNormal`, all of them one
`synjit.JITBlocks`.

`Parameters` holds the numbers of the model; `build` draws a network from a seed,
as small as its blocks' seeds, the delays and the initial potentials.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product, repeat
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import brainunit as u
import numpy as np

from synjit import normal_delays

if TYPE_CHECKING:
    from synjit import Delays

Array = Any  # of JAX or NumPy
Quantity = Any  # a number with a brainunit unit

# Whose delays are drawn: of each neuron, for all its synapses, or of each synapse.
DelaysOf = Literal["neuron", "synapse"]
# What stands for the neurons outside: a direct current, or Poisson spikes of this mean.
Background = Literal["current", "poisson"]

# Smaller networks have other rates than the full one, however they are compensated.
LEAST_COMPARABLE = 0.2

BYTES_PER_SYNAPSE = 8  # if it were stored: a row index and a weight
# Of a mean and its standard deviation, where a symmetrically cut normal is a uniform.
LEAST_RATIO = math.sqrt(3)
FURTHEST_CUT = 12.0  # standard deviations, beyond which there is nothing to cut
MAX_SEED = 2**25 - 1  # keeps every block's seed below 2**31


class Population(NamedTuple):
    """One population of the model."""

    name: str
    size: int
    external_indegree: int
    v0_mean: Quantity
    v0_sd: Quantity
    published_rate: Quantity  # of the reference implementation, Poisson input
    rate_with_current: Quantity  # the same with a direct current instead

    @property
    def excitatory(self) -> bool:
        """Whether the neurons excite their targets."""
        return self.name.endswith("E")


class Parameters(NamedTuple):
    """The numbers of the model, as published.

    Potjans and Diesmann, Cerebral Cortex 24 (2014) 785; the initial potentials, the
    direct current and the published mean rates are those of the current NEST reference
    implementation. The rates with a direct current are those of NEST 3.10, the mean of
    the seeds 55 and 56 over 4 s.
    """

    populations: tuple[Population, ...] = (
        Population(
            "L2/3E", 20683, 1600, -68.28 * u.mV, 5.36 * u.mV, 0.903 * u.Hz, 0.908 * u.Hz
        ),
        Population(
            "L2/3I", 5834, 1500, -63.16 * u.mV, 4.57 * u.mV, 2.965 * u.Hz, 2.960 * u.Hz
        ),
        Population(
            "L4E", 21915, 2100, -63.33 * u.mV, 4.74 * u.mV, 4.414 * u.Hz, 4.199 * u.Hz
        ),
        Population(
            "L4I", 5479, 1900, -63.45 * u.mV, 4.94 * u.mV, 5.876 * u.Hz, 5.704 * u.Hz
        ),
        Population(
            "L5E", 4850, 2000, -63.11 * u.mV, 4.94 * u.mV, 7.569 * u.Hz, 8.110 * u.Hz
        ),
        Population(
            "L5I", 1065, 1900, -61.66 * u.mV, 4.55 * u.mV, 8.633 * u.Hz, 8.474 * u.Hz
        ),
        Population(
            "L6E", 14395, 2900, -66.72 * u.mV, 5.46 * u.mV, 1.105 * u.Hz, 1.110 * u.Hz
        ),
        Population(
            "L6I", 2948, 2100, -61.43 * u.mV, 4.48 * u.mV, 7.829 * u.Hz, 7.657 * u.Hz
        ),
    )
    #: Chance of at least one synapse; row = target, column = source.
    connection_probabilities: tuple[tuple[float, ...], ...] = (
        (0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0000, 0.0076, 0.0000),
        (0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0000, 0.0042, 0.0000),
        (0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0000),
        (0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0000, 0.1057, 0.0000),
        (0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0000),
        (0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0000),
        (0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252),
        (0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443),
    )

    time_step: Quantity = 0.1 * u.ms
    capacitance: Quantity = 250.0 * u.pF
    tau_membrane: Quantity = 10.0 * u.ms
    tau_synapse: Quantity = 0.5 * u.ms
    refractory: Quantity = 2.0 * u.ms
    v_rest: Quantity = -65.0 * u.mV  # the reset potential as well
    v_threshold: Quantity = -50.0 * u.mV

    weight: Quantity = 87.8 * u.pA
    weight_relative_sd: float = 0.1
    inhibitory_factor: float = -4.0
    l4e_to_l23e_factor: float = 2.0

    background_rate: Quantity = 8.0 * u.Hz

    excitatory_delay: Quantity = 1.5 * u.ms
    inhibitory_delay: Quantity = 0.75 * u.ms
    delay_relative_sd: float = 0.5
    max_delay_steps: int = 64  # of a neuron

    @property
    def steps_per_ms(self) -> int:
        """Time steps in a millisecond."""
        return round(float(u.ms / self.time_step))

    def only(self, sizes: dict[str, int]) -> Parameters:
        """Keep the populations that are named, in these sizes, and what joins them."""
        kept = [i for i, p in enumerate(self.populations) if p.name in sizes]
        populations = [self.populations[i] for i in kept]
        table = self.connection_probabilities
        return self._replace(
            populations=tuple(p._replace(size=sizes[p.name]) for p in populations),
            connection_probabilities=tuple(
                tuple(table[i][j] for j in kept) for i in kept
            ),
        )

    def contacts(self, target: int, source: int) -> float:
        """Mean number of synapses that a pair of neurons has.

        The published C is the chance of at least one where a pair may have several,
        K = ln(1 - C) / ln(1 - 1/(N_target N_source)) in all: their number in a pair
        is Poisson with this mean, -ln(1 - C).
        """
        return -math.log1p(-self.connection_probabilities[target][source])

    def connection(self, target: int, source: int) -> tuple[float, Quantity, Quantity]:
        """Probability, mean and sd of the weight of a connection of a pair.

        All synapses of a pair are one connection here. It is there with the chance
        C of at least one, and its weight has the mean and the variance of the sum of
        a Poisson number of synapses, given that there is one. So every neuron has
        the published number of pre-synaptic partners, and its total input weight the
        published mean and spread; with a single weight for each connection the
        spread is too small, and the network too synchronous.
        """
        prob = self.connection_probabilities[target][source]
        contacts = self.contacts(target, source)
        weight = self.mean_weight(target, source)
        if prob == 0:
            return 0.0, weight, 0 * weight
        mean = contacts / prob
        square = (contacts * (1 + self.weight_relative_sd**2) + contacts**2) / prob
        return prob, mean * weight, math.sqrt(square - mean**2) * abs(weight)

    def widest_cut(self) -> float:
        """Where to cut the normal weights, so that none of any block changes sign.

        Symmetrically, which leaves the mean alone, and as far out as may be: in
        standard deviations of the normal before it is cut.

        Raises
        ------
        ValueError
            Weights vary too much to be normal and keep their sign.
        """
        pairs = product(range(len(self.populations)), repeat=2)
        laws = [self.connection(*pair) for pair in pairs]
        # Rounded weights are to stay clear of 0 as well.
        ratio = 0.999 * min(abs(float(mean / sd)) for prob, mean, sd in laws if prob)
        if ratio <= LEAST_RATIO:
            raise ValueError(
                "the mean of the weights must be more than sqrt(3) of their standard "
                "deviations, for a normal that is cut symmetrically to keep their "
                f"sign; of one pair of populations it is {ratio:.3g}: make "
                "weight_relative_sd or the connection probabilities smaller"
            )
        low, high = 0.0, FURTHEST_CUT
        while high - low > 1e-9:
            middle = (low + high) / 2
            if middle / sd_within(middle) < ratio:
                low = middle
            else:
                high = middle
        return low

    def mean_delay(self, source: int) -> Quantity:
        """Mean delay of the synapses of a population's neurons."""
        if self.populations[source].excitatory:
            return self.excitatory_delay
        return self.inhibitory_delay

    def mean_weight(self, target: int, source: int) -> Quantity:
        """Mean weight of a synapse of one block."""
        if not self.populations[source].excitatory:
            return self.weight * self.inhibitory_factor
        names = self.populations[target].name, self.populations[source].name
        return self.weight * (
            self.l4e_to_l23e_factor if names == ("L2/3E", "L4E") else 1.0
        )


def sd_within(bound: float) -> float:
    """Standard deviation of a standard normal that is cut at -bound and bound."""
    density = math.exp(-(bound**2) / 2) / math.sqrt(2 * math.pi)
    return math.sqrt(1 - 2 * bound * density / math.erf(bound / math.sqrt(2)))


class Block(NamedTuple):
    """The synapses from one population to another: arguments of the product."""

    target: int
    source: int
    prob: float
    w_loc: Quantity
    w_scale: Quantity  # before the normal is cut
    bounds: tuple[float, float]
    seed: int
    shape: tuple[int, int]
    delay: Delays | None


@dataclass(frozen=True)
class Network:
    """What is fixed before the simulation starts; tuples run over populations."""

    parameters: Parameters
    scale: float
    seed: int
    sizes: tuple[int, ...]
    blocks: tuple[Block, ...]
    background: Background
    direct: tuple[Quantity, ...]  # currents
    arriving: tuple[float, ...]  # spikes from outside in a step, on average
    lost_input: np.ndarray  # (targets, sources), pA for each spike/s; 0 at full size
    delays_of: DelaysOf
    delays: tuple[np.ndarray, ...]  # in time steps, of each neuron; or none
    v0: tuple[np.ndarray, ...]  # mV

    def __str__(self) -> str:
        """Size of the network, and of its synapses if they were stored."""
        synapses, pairs = self.expected_synapses, self.expected_connections
        return (
            "cortical microcircuit"
            " (Potjans & Diesmann, Cerebral Cortex 24 (2014) 785)\n"
            f"  scale {self.scale:g}: {sum(self.sizes):,} neurons,"
            f" {synapses / 1e6:,.2f} million synapses expected\n"
            f"  between {pairs / 1e6:,.2f} million pairs in {len(self.blocks)} blocks,"
            f" none of them stored; stored, at {BYTES_PER_SYNAPSE} bytes a\n"
            f"  synapse, they would take {synapses * BYTES_PER_SYNAPSE / 1e9:,.3f} GB;"
            f" a delay for each {self.delays_of}\n  background: {self.background}"
        )

    @property
    def nest_rates(self) -> list[float]:
        """Mean rates of the full network in NEST, with this background, spikes/s."""
        of_current = self.background == "current"
        rates = (
            p.rate_with_current if of_current else p.published_rate
            for p in self.parameters.populations
        )
        return [float(rate.to_decimal(u.Hz)) for rate in rates]

    @property
    def is_comparable(self) -> bool:
        """Whether it is large enough to have about the rates of the full network."""
        return self.scale >= LEAST_COMPARABLE

    @property
    def expected_synapses(self) -> float:
        """Mean number of synapses over all seeds, several to a pair counted."""
        contacts = self.parameters.contacts
        return sum(
            contacts(b.target, b.source) * b.shape[0] * b.shape[1] for b in self.blocks
        )

    @property
    def expected_connections(self) -> float:
        """Mean number of connected pairs over all seeds."""
        return sum(b.prob * b.shape[0] * b.shape[1] for b in self.blocks)

    def outdegree(self, source: int) -> float:
        """Mean number of targets of a neuron of population `source`."""
        return sum(b.prob * b.shape[0] for b in self.blocks if b.source == source)


def build(
    scale: float = 1.0,
    seed: int = 0,
    parameters: Parameters | None = None,
    delays_of: DelaysOf = "neuron",
    background: Background = "current",
) -> Network:
    """Draw the network at a fraction `scale` of its neurons.

    In a smaller network the in-degrees shrink with `scale`; weights grow with
    its inverse square root, which keeps the variance of the input, and a direct
    current makes up for the lost mean (see `simulate`).

    Parameters
    ----------
    scale : float
        Fraction of the full size, 0 < scale <= 1.
    seed : int
        Master seed, 0 <= seed < 2**25. The block from population s to
        population t has the seed ``64 * seed + 8 * t + s``, so that no two
        blocks share one, under this master seed or another. Delays and initial
        potentials of population p come from NumPy's generator, seeded with
        ``(seed, p)``.
    parameters : Parameters, optional
        Of the model; without them, the published ones.
    delays_of : {"neuron", "synapse"}
        Whether a neuron has one delay, or each synapse its own, as published.
    background : {"current", "poisson"}
        What stands for the neurons outside: a direct current, as in the reference
        implementation, or Poisson spikes of the same mean, as published.

    Returns
    -------
    Network
    """
    if not 0 < scale <= 1:
        raise ValueError(f"scale must be in (0, 1], got {scale!r}")
    if not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed must be an integer in [0, {MAX_SEED}], got {seed!r}")
    for name, value, choices in (
        ("delays_of", delays_of, get_args(DelaysOf)),
        ("background", background, get_args(Background)),
    ):
        if value not in choices:
            allowed = " or ".join(map(repr, choices))
            raise ValueError(f"{name} must be {allowed}, got {value!r}")
    par = parameters or Parameters()
    count = len(par.populations)
    of_synapses = delays_of == "synapse"
    sizes = tuple(max(1, round(p.size * scale)) for p in par.populations)
    laws = [_law_of_delays(par, p) if of_synapses else None for p in range(count)]
    cut = par.widest_cut()
    widened = 1 / (sd_within(cut) * math.sqrt(scale))
    blocks = []
    for target in range(count):
        for source in range(count):
            prob, mean, sd = par.connection(target, source)
            if prob == 0:
                continue
            blocks.append(
                Block(
                    target,
                    source,
                    prob,
                    mean / math.sqrt(scale),
                    sd * widened,
                    (-cut, cut),
                    seed=64 * seed + 8 * target + source,
                    shape=(sizes[target], sizes[source]),
                    delay=laws[source],
                )
            )
    outside = [p.external_indegree * par.background_rate for p in par.populations]
    rngs = [np.random.default_rng((seed, p)) for p in range(count)]
    return Network(
        parameters=par,
        scale=scale,
        seed=seed,
        sizes=sizes,
        blocks=tuple(blocks),
        background=background,
        direct=tuple(
            rate * par.weight * par.tau_synapse * (background == "current")
            for rate in outside
        ),
        arriving=tuple(
            float(rate * par.time_step) * (background == "poisson") for rate in outside
        ),
        lost_input=_lost_input(par, scale),
        delays_of=delays_of,
        delays=()
        if of_synapses
        else tuple(map(_delays, repeat(par), range(count), sizes, rngs)),
        v0=tuple(
            rng.normal(p.v0_mean.to_decimal(u.mV), p.v0_sd.to_decimal(u.mV), size)
            for p, size, rng in zip(par.populations, sizes, rngs, strict=True)
        ),
    )


def _lost_input(par: Parameters, scale: float) -> np.ndarray:
    """Mean input that a smaller network lacks; see `Network.lost_input`."""
    count = len(par.populations)
    lost = np.zeros((count, count))
    for target in range(count):
        for source, population in enumerate(par.populations):
            indegree = par.contacts(target, source) * population.size
            current = par.mean_weight(target, source) * par.tau_synapse / u.second
            lost[target, source] = indegree * current.to_decimal(u.pA)
    return (1 - math.sqrt(scale)) * lost


def _delays(
    par: Parameters, source: int, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw a delay of each source neuron, in steps, again where out of range."""
    steps = float(par.mean_delay(source) / par.time_step)
    delays = np.zeros(size, np.int32)
    while (wrong := (delays < 1) | (delays > par.max_delay_steps)).any():
        draw = rng.normal(steps, steps * par.delay_relative_sd, wrong.sum())
        delays[wrong] = np.rint(draw)
    return delays


def _law_of_delays(par: Parameters, source: int) -> Delays:
    """Law of the delays of a population's synapses."""
    mean = par.mean_delay(source)
    return normal_delays(mean, mean * par.delay_relative_sd, par.time_step)
