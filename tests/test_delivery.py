# SPDX-License-Identifier: Apache-2.0
"""Delivery with delays: to the bit the law's, slot by slot, and in place."""

import functools
import pickle

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import synjit
from synjit import reference

NORMAL = synjit.normal_delays(1.5, 0.75, dt=0.1)
SLOTS = NORMAL.bounds[1] + 1
SHAPE = (1100, 60)
# (row, column): w_loc, w_scale, prob, delay, of groups of these rows and columns.
ROWS, COLUMNS = (1100, 40), (60, 21)
BLOCKS = {
    (0, 0): (0.3, 0.1, 0.1, NORMAL),
    (0, 1): (-1.7, 0.2, 0.02, 7),
    (1, 1): (0.7, 0.0, 0.9, synjit.Delays(synjit.Uniform(), 4, 2)),
}


def matrix(backend=None, **other):
    given = {"delay": NORMAL, "shape": SHAPE, "backend": backend} | other
    return synjit.JITNormal(1.0, 0.1, 0.1, 42, **given)


def blocks(backend=None):
    grid = [[None, None], [None, None]]
    for (i, j), (w_loc, w_scale, prob, delay) in BLOCKS.items():
        grid[i][j] = synjit.JITNormal(
            w_loc,
            w_scale,
            prob,
            7 * i + j,
            delay=delay,
            shape=(ROWS[i], COLUMNS[j]),
            backend=backend,
        )
    return synjit.JITBlocks(grid)


def spikes(n=SHAPE[1], *batch, steps=(), fraction=0.2, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.random((*steps, n, *batch)) < fraction)


def added(events, now, w=(1.0, 0.1), prob=0.1, seed=42, law=NORMAL, shape=SHAPE):
    """What the reference adds to a ring, (slots, m, batch); nothing is -0."""
    own = reference.Matrix(seed, prob, shape)
    n, z = reference.delays.deliver(own, law, events, SLOTS, now)
    y = reference.weigh(*np.array(w, np.float32), n, z)
    return np.where(n != 0, y, np.float32(-0.0))


def assert_same_bits(got, want):
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    assert np.asarray(got).tobytes() == np.asarray(want).tobytes()


# --- what is delivered ------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("now", [0, 10**6 + 17, jnp.int32(SLOTS - 1), -3])
def test_a_ring_is_the_reference_s(fraction, now, able):
    events = spikes(fraction=fraction)
    ring = matrix(able).deliver(events, matrix().ring(), now)
    want = added(events[:, None], int(now)) + 0.0
    assert_same_bits(ring.value, want[..., 0])


def test_slots_are_products_with_dense_matrices(able):
    """Not by the reference's own sums: entry by entry, of the dense matrix."""
    m, events = matrix(able), spikes()
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    words = reference.seed_words(42)
    d = reference.delays.delay(words, rows, columns, NORMAL.table)
    dense = np.asarray(m.todense())
    ring = m.deliver(events, m.ring(), 5)
    for slot in range(SLOTS):
        part = np.where((5 + d) % SLOTS == slot, dense, 0) @ np.asarray(events)
        np.testing.assert_allclose(ring.value[slot], part, rtol=1e-5, atol=1e-6)
    assert float(abs(ring.value.sum(0) - m @ events).max()) < 1e-4


def test_what_is_in_the_ring_stays(able):
    events, batch = spikes(SHAPE[1], 3), 3
    rng = np.random.default_rng(1)
    before = rng.normal(size=(SLOTS, SHAPE[0], batch)).astype(np.float32)
    before[rng.random(before.shape) < 0.3] = -0.0
    ring = matrix(able).deliver(events, synjit.Ring(before), 9)
    assert_same_bits(ring.value, before + added(events, 9))


@pytest.mark.parametrize("word", [np.uint32, np.uint64])
def test_a_ring_may_hold_any_bits(word, able):
    """CPU kernels leave marks in the ring for a while, which are numbers as well."""
    events, real = spikes(), np.dtype(f"f{word(0).nbytes}")
    rng = np.random.default_rng(1)
    bits = ~rng.integers(0, 1500, (SLOTS, SHAPE[0]), word)
    before = np.where(rng.random(bits.shape) < 0.5, bits.view(real), real.type(0.25))
    with jax.enable_x64(real == np.float64):
        w_loc, zeros = jnp.asarray(1.0, real), np.zeros(before.shape, real)
        m = synjit.JITNormal(
            w_loc, 0.1, 0.1, 42, delay=NORMAL, shape=SHAPE, backend=able
        )
        ring, alone = (m.deliver(events, synjit.Ring(r), 9) for r in (before, zeros))
    assert ring.value.dtype == real
    want = before + np.asarray(alone.value)
    assert 0.1 < np.isnan(want).mean() < 0.9
    np.testing.assert_array_equal(ring.value, want)


def test_blocks_have_delays_of_their_own(able):
    events = spikes(sum(COLUMNS), 2)
    ring = blocks(able).deliver(events, synjit.Ring.zeros(SLOTS, sum(ROWS), 2), 33)
    want = np.zeros(ring.value.shape, np.float32)
    for (i, j), (w_loc, w_scale, prob, delay) in BLOCKS.items():
        law = delay
        if isinstance(delay, int):
            law = synjit.Delays(synjit.Constant(), delay, 0)
        rows = slice(sum(ROWS[:i]), sum(ROWS[: i + 1]))
        part = events[sum(COLUMNS[:j]) : sum(COLUMNS[: j + 1])]
        shape = (ROWS[i], COLUMNS[j])
        want[:, rows] += added(part, 33, (w_loc, w_scale), prob, 7 * i + j, law, shape)
    assert_same_bits(ring.value, want)
    assert blocks().ring().value.shape == (SLOTS, sum(ROWS))


def test_floats_above_zero_are_spikes(able):
    events = spikes()
    for given in (events.astype(jnp.float32) * 3 - 1, synjit.Events(events)):
        ring = matrix(able).deliver(given, matrix().ring(), 0)
        want = matrix(able).deliver(events, matrix().ring(), 0)
        assert_same_bits(ring.value, want.value)


def test_a_window_delivers_its_part(able):
    events = spikes()
    whole = matrix(able).deliver(events, matrix().ring(), 2).value
    for top in (0, 500):
        m = matrix(able, shape=(600, SHAPE[1]), origin=(top, 0))
        part = m.deliver(events, m.ring(), 2).value
        assert_same_bits(part, whole[:, top : top + 600])


@pytest.mark.usefixtures("x64")
def test_float64(able):
    m = synjit.JITNormal(
        jnp.float64(1.1), 0.1, 0.1, 42, delay=NORMAL, shape=SHAPE, backend=able
    )
    ring = m.deliver(spikes(), m.ring(), 0)
    n, z = reference.delays.deliver(
        reference.Matrix(42, 0.1, SHAPE), NORMAL, spikes()[:, None], SLOTS, 0
    )
    want = reference.weigh(np.float64(1.1), np.float64(0.1), n, z)
    assert_same_bits(ring.value, want[..., 0])
    with pytest.raises(
        TypeError, match="weights of float64 are delivered to a ring of"
    ):
        m.deliver(spikes(), synjit.Ring.zeros(SLOTS, SHAPE[0]), 0)


def test_units(able):
    m = matrix(able) * u.mV
    ring = m.deliver(spikes(), m.ring(), 0)
    plain = matrix(able).deliver(spikes(), matrix().ring(), 0)
    assert_same_bits(ring.value.to_decimal(u.mV), plain.value)
    current, ring = ring.read(13)
    assert_same_bits(current.to_decimal(u.mV), plain.value[13])
    volts = m.deliver(spikes(), synjit.Ring.zeros(SLOTS, SHAPE[0], unit=u.volt), 0)
    np.testing.assert_allclose(volts.value.to_decimal(u.mV), plain.value, rtol=1e-5)
    with pytest.raises(u.DimensionMismatchError):
        m.deliver(spikes(), matrix().ring(), 0)


# --- reading ----------------------------------------------------------------------


def test_reading_takes_a_slot_out():
    value = jnp.arange(24.0).reshape(4, 3, 2)
    for read in (synjit.Ring.read, jax.jit(synjit.Ring.read)):
        current, ring = read(synjit.Ring(value), 7)
        assert_same_bits(current, value[3])
        assert_same_bits(ring.value, value.at[3].set(0))
    first, ring = synjit.Ring(value[..., 0]).read(np.int64(-4))
    assert_same_bits(first, value[0, :, 0])
    assert not ring.read(0)[0].any()


def test_what_is_sent_arrives_once(able):
    """Over many turns of the ring, in a loop."""
    m, steps = matrix(able), 150
    sent = spikes(steps=(steps,), fraction=0.02)

    @jax.jit
    def run(sent):
        def step(ring, given):
            now, events = given
            current, ring = ring.read(now)
            return m.deliver(events, ring, now), current

        return jax.lax.scan(step, m.ring(), (jnp.arange(steps), sent))

    ring, currents = run(sent)
    want = np.zeros((steps + SLOTS, SHAPE[0]))
    dense = np.asarray(m.todense())
    rows, columns = np.nonzero(dense)
    words = reference.seed_words(42)
    d = reference.delays.delay(words, rows, columns, NORMAL.table)
    for now, events in enumerate(np.asarray(sent)):
        one = events[columns]
        at = now + d[one], rows[one]
        np.add.at(want, at, dense[rows, columns][one])
    np.testing.assert_allclose(currents, want[:steps], atol=1e-5)
    for now in range(steps, steps + SLOTS - 1):
        np.testing.assert_allclose(ring.read(now)[0], want[now], atol=1e-5)


# --- in place ---------------------------------------------------------------------


def _copies(compiled, shape):
    """Lines of a program that write an array of the ring's shape anew."""
    ring = f"= f32[{','.join(map(str, shape))}]"
    inside = ("copy(", "broadcast(", "add(", "select(", "transpose(", "pad(")
    return [
        line.strip()[:120]
        for line in compiled.as_text().splitlines()
        if ring in line and any(f" {op}" in line for op in inside)
    ]


def _step(m, dependent, traced, ring, events, now, prob):
    if traced:
        m = m.replace(prob=prob)
    current, ring = ring.read(now)
    if dependent:
        events = events | (current[: SHAPE[1]] > 5)
    return m.deliver(events, ring, now), current


@pytest.mark.parametrize("dependent", [False, True])
@pytest.mark.parametrize("traced", [False, True])
def test_a_ring_is_written_in_place(dependent, traced, able):
    m = matrix(able)
    step = functools.partial(_step, m, dependent, traced)

    def run(ring, sent, prob):
        def one(carry, events):
            ring, now, total = carry
            ring, current = step(ring, events, now, prob)
            return (ring, now + 1, total * 0.9 + current), None

        start = (ring, jnp.int32(0), jnp.zeros(SHAPE[0]))
        return jax.lax.scan(one, start, sent)[0]

    ring = m.ring()
    once = jax.jit(step, donate_argnums=0).lower(ring, spikes(), jnp.int32(3), 0.3)
    loop = jax.jit(run, donate_argnums=0).lower(ring, spikes(steps=(9,)), 0.3)
    for lowered in (once, loop):
        compiled = lowered.compile()
        assert "input_output_alias" in compiled.as_text()
        assert _copies(compiled, (*ring.shape, 1)) == []
        assert _copies(compiled, ring.shape) == []


def test_a_ring_that_is_kept_is_not_written_to(able):
    m, ring = matrix(able), matrix().ring()
    m.deliver(spikes(), ring, 0)
    _, read = m.deliver(spikes(), ring, 0).read(4)
    read.read(5)
    assert not ring.value.any()


# --- threads ----------------------------------------------------------------------


def test_bits_do_not_depend_on_threads(able, monkeypatch):
    m = matrix(able, shape=(20_000, 300))
    for now, fraction in ((0, 0.01), (5, 0.1), (9, 1.0)):  # few, more, and many
        events = spikes(300, fraction=fraction)
        found = set()
        for threads in ("1", "2", "4"):
            monkeypatch.setenv("SYNJIT_NUM_THREADS", threads)
            ring = m.deliver(events, m.ring(), now)
            found.add(np.asarray(ring.value).tobytes())
        assert len(found) == 1


# --- delay as a part of a matrix --------------------------------------------------


@pytest.mark.parametrize("delay", [15, NORMAL])
def test_a_delay_is_part_of_the_structure(delay):
    m = matrix(delay=delay)
    leaves, structure = jax.tree.flatten(m)
    assert len(leaves) == len(jax.tree.leaves(matrix(delay=None)))
    assert jax.tree.unflatten(structure, leaves) == m
    assert pickle.loads(pickle.dumps(m)) == m
    assert m != matrix(delay=3)
    assert hash(m) == hash(matrix(delay=delay))
    names = {**vars(synjit), "TruncatedNormal": synjit.TruncatedNormal}
    assert eval(repr(m), names) == m
    assert m.replace(delay=4).delay == 4
    assert m.replace(w_loc=2.0).delay == delay
    assert_same_bits(m @ spikes(), matrix(delay=None) @ spikes())


def test_laws_in_time():
    law = synjit.normal_delays(1.5 * u.ms, 750 * u.us, dt=0.1 * u.ms)
    assert (law.loc, law.scale) == pytest.approx((15, 7.5))
    assert law.bounds[0] == 1
    assert synjit.normal_delays(1.5, 0, dt=0.1).bounds == (15, 15)
    uniform = synjit.delays_in_time(synjit.Uniform(), 2 * u.ms, 1 * u.ms, 100 * u.us)
    assert (uniform.loc, uniform.scale) == pytest.approx((20, 10))
    with pytest.raises(u.DimensionMismatchError):
        synjit.normal_delays(1.5 * u.ms, 0.75 * u.ms, dt=0.1 * u.mV)
    with pytest.raises(ValueError, match="dt must be above 0"):
        synjit.normal_delays(1.5, 0.75, dt=0)
    with pytest.raises(ValueError, match="sd must not be negative"):
        synjit.normal_delays(1.5, -0.75)


# --- bad input --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delay", "error", "message"),
    [
        (0, ValueError, "delay must be 1 to 32767 steps, got 0"),
        (1.5, TypeError, "delay must be a number of steps, or a law"),
        (True, TypeError, "delay must be a number of steps, or a law"),
        (synjit.Normal(), TypeError, "delay must be a number of steps, or a law"),
        (synjit.Delays(synjit.Normal(), 15, 7.5), ValueError, "1 to 32767 are allowed"),
    ],
)
def test_delays_that_are_none(delay, error, message):
    with pytest.raises(error, match=message):
        matrix(delay=delay)


RING = synjit.Ring.zeros(SLOTS, SHAPE[0])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda m, s: m.replace(delay=None).deliver(s, RING, 0),
            ValueError,
            "has none",
        ),
        (lambda m, s: m.T.deliver(s, RING, 0), ValueError, "is a transpose"),
        (
            lambda m, s: m.deliver(s, synjit.Ring.zeros(SLOTS - 1, SHAPE[0]), 0),
            ValueError,
            f"needs {SLOTS} slots, and this one has {SLOTS - 1}",
        ),
        (
            lambda m, s: m.deliver(s, synjit.Ring.zeros(SLOTS, 7), 0),
            ValueError,
            "1100 rows delivers to a ring of 1100, and this one has 7",
        ),
        (lambda m, s: m.deliver(s, RING.value, 0), TypeError, "delivered to a Ring"),
        (lambda m, s: m.deliver(s[1:], RING, 0), ValueError, "spikes must have shape"),
        (
            lambda m, s: m.deliver(s, RING, 0.5),
            TypeError,
            "now must be the number of a",
        ),
        (lambda m, s: m.deliver(s, RING, s), TypeError, "now must be the number of a"),
        (
            lambda m, s: m.deliver(s, RING, True),
            TypeError,
            "now must be the number of a",
        ),
        (lambda m, s: m.deliver(s * u.mV, RING, 0), TypeError, "spikes have no unit"),
        (
            lambda m, s: m.deliver(s[:, None], m.ring(2), 0),
            ValueError,
            "must be 2 vectors",
        ),
        (lambda m, s: synjit.Ring(s), TypeError, "value of a Ring must be an array"),
        (lambda m, s: synjit.Ring.zeros(0, 3), ValueError, "slots of a ring must be 1"),
        (
            lambda m, s: synjit.Ring.zeros(2, 1.5),
            TypeError,
            "m of a ring must be an int",
        ),
        (
            lambda m, s: synjit.Ring.zeros(2, 1, dtype="int32"),
            TypeError,
            "value of a Ring must be an array",
        ),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make(matrix(), spikes())


def test_a_backend_without_delays_says_so():
    m = matrix("pallas_tpu")
    with pytest.raises(synjit.BackendError, match="pallas_tpu"):
        m.deliver(spikes(), m.ring(), 0)
    b = synjit.JITBlocks([[matrix()]])
    explained = synjit.explain("deliver", grid=b.grid, slots=SLOTS, platform="tpu")
    assert explained.backend is None
    told = "no synjit_deliver, which delays need; numba, pallas_gpu can"
    assert told in str(explained)
    on_cpu = synjit.explain("deliver", grid=b.grid, slots=SLOTS, platform="cpu")
    assert on_cpu.backend == "numba"
    with pytest.raises(ValueError, match="takes a ring of slots"):
        synjit.explain("deliver", grid=b.grid)


def test_a_traced_prob_out_of_range_is_not_a_number(able):
    @jax.jit
    def run(prob):
        m = synjit.JITNormal(
            1.0, 0.1, prob, 42, delay=NORMAL, shape=SHAPE, backend=able
        )
        return m.deliver(spikes(), matrix().ring(), 0).value

    right = matrix(able).deliver(spikes(), matrix().ring(), 0).value
    assert_same_bits(run(0.1), right)
    assert np.isnan(run(1.5)).all()
