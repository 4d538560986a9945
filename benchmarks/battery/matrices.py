# SPDX-License-Identifier: Apache-2.0
"""Matrices as a whole: rank, singular values, cycles, and triples by xor."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import special, stats

from .findings import Finding, from_cells, from_ks, from_scores, from_z

Array = NDArray[np.generic]

SIDE = 64  # of the matrices over GF(2)
SMALL = 24  # of the matrices with singular values


def ranks(name: str, prob: float, bits: Array) -> Finding:
    """Rank over GF(2) of 64 x 64 blocks of fair bits, against the exact law."""
    blocks = _tiles(bits, SIDE, SIDE).astype(np.uint64)
    words = blocks @ (np.uint64(1) << np.arange(SIDE, dtype=np.uint64))
    rank = _rank(words)
    seen = np.bincount(SIDE - rank, minlength=SIDE + 1)
    return from_cells(name, prob, seen, rank.size * np.array(rank_law(SIDE)))


def rank_law(n: int) -> list[float]:
    """Chance that an n x n matrix of fair bits lacks 0, 1, 2, ... of full rank."""
    chances = []
    for rank in range(n, -1, -1):
        number = numerator = 1
        for i in range(rank):
            numerator *= (2**n - 2**i) ** 2
            number *= 2**rank - 2**i
        chances.append(float(Fraction(numerator, number * 2 ** (n * n))))
    return chances


@njit(cache=True)
def _rank(words):
    """Eliminate in each matrix (matrices, rows) of words."""
    out = np.zeros(len(words), np.int64)
    for i in range(len(words)):
        rows = words[i].copy()
        for bit in range(64):
            one, found = np.uint64(1) << np.uint64(bit), -1
            for r in range(out[i], rows.size):
                if rows[r] & one:
                    found = r
                    break
            if found >= 0:
                rank = out[i]
                rows[found], rows[rank] = rows[rank], rows[found]
                for r in range(rank + 1, rows.size):
                    if rows[r] & one:
                        rows[r] ^= rows[rank]
                out[i] += 1
    return out


def _tiles(dense: Array, height: int, width: int) -> Array:
    """Cut a matrix into tiles (tiles, height, width)."""
    m, n = dense.shape[0] // height, dense.shape[1] // width
    cut = dense[: m * height, : n * width].reshape(m, height, n, width)
    return np.ascontiguousarray(cut.transpose(0, 2, 1, 3)).reshape(-1, height, width)


def singular_values(prob: float, z: Array) -> Iterator[Finding]:
    """Singular values of n x (n + 1) matrices of independent normals.

    Of G G', the smallest eigenvalue times n / 2 is exponential (Edelman, SIAM Journal
    on Matrix Analysis 9, 1988), the trace chi-square, and the determinant a product of
    independent chi-squares with 2, 3, ... n + 1 degrees of freedom.
    """
    g = _tiles(z, SMALL, SMALL + 1).astype(float)
    eigenvalues = np.linalg.eigvalsh(g @ g.transpose(0, 2, 1))
    u = np.sort(np.exp(-eigenvalues[:, 0] * SMALL / 2))
    yield _uniform("smallest singular value", prob, u)
    trace = stats.chi2(SMALL * (SMALL + 1)).cdf(eigenvalues.sum(1))
    yield _uniform("trace of G G'", prob, np.sort(trace))
    half = np.arange(2, SMALL + 2) / 2
    mean = np.sum(special.psi(half) + np.log(2))
    deviation = np.sqrt(special.polygamma(1, half).sum() / len(g))
    log_determinant = np.log(np.maximum(eigenvalues, 1e-12)).sum(1).mean()
    yield from_z("determinant of G G'", prob, (log_determinant - mean) / deviation)


def _uniform(name: str, prob: float, u: Array) -> Finding:
    steps = np.arange(u.size + 1) / u.size
    distance = max((steps[1:] - u).max(), (u - steps[:-1]).max())
    return from_ks(name, prob, float(distance), u.size)


def mask_singular_values(prob: float, mask: Array, seed: int) -> Iterator[Finding]:
    """Largest and smallest singular values of small masks, and their real rank.

    Two-sample: as many matrices come from NumPy's generator.
    """
    ours = _tiles(mask, SMALL, SMALL).astype(float)
    fair = np.random.default_rng(seed).random(ours.shape) < prob
    values = [np.linalg.svd(x - prob, compute_uv=False) for x in (ours, fair)]
    for name, at in (("largest", 0), ("smallest", -1)):
        distance = stats.ks_2samp(values[0][:, at], values[1][:, at]).statistic
        label = f"{name} singular value of the mask"
        yield from_ks(label, prob, float(distance), len(ours) / 2)
    full = [np.sum(np.linalg.matrix_rank(x) == SMALL) for x in (ours, fair)]
    share = sum(full) / 2 / len(ours)
    error = np.sqrt(2 * len(ours) * share * (1 - share))
    if error > 0:
        yield from_z("real rank of the mask", prob, float((full[0] - full[1]) / error))


def cycles(prob: float, mask: Array) -> Iterator[Finding]:
    """Cycles of 2, 3 and 4 connections, by centred products of distinct entries.

    Cycles of 2 and 3 are directed, of a network whose neurons are both rows and
    columns; those of 4 are rectangles: two rows and two columns.
    """
    variance = prob * (1 - prob)
    n = min(mask.shape)
    a = mask[:n, :n] - prob
    gram = a.T @ a
    off = np.sum(gram**2) - np.sum(np.diag(gram) ** 2)
    same_row = np.sum(np.sum(a**2, 1) ** 2) - np.sum(a**4)
    number = (n * (n - 1) / 2) ** 2
    z = (off - same_row) / 4 / np.sqrt(number) / variance**2
    yield from_z("rectangles", prob, float(z))
    np.fill_diagonal(a, 0)
    pairs = n * (n - 1) / 2
    z = np.sum(a * a.T) / 2 / np.sqrt(pairs) / variance
    yield from_z("cycles of 2", prob, float(z))
    z = np.sum((a @ a) * a.T) / 3 / np.sqrt(pairs * (n - 2) * 2 / 3) / variance**1.5
    yield from_z("cycles of 3", prob, float(z))


def xor_triples(prob: float, mask: Array, log2: int, most: int) -> Iterator[Finding]:
    """Rows u, u ^ e, u ^ f of a chunk, with e and f a bit, or a bit and its shift.

    These differences pass a multiplication or an xor-shift best.
    """
    chunk = 1 << log2
    x = np.ascontiguousarray(mask.T).reshape(-1, chunk)[:most].astype(np.float32)
    x = np.ascontiguousarray(x.T) - np.float32(prob)  # (rows, chunks)
    bits, half = 1 << np.arange(log2), (log2 + 1) // 2
    masks = sorted({int(v) for s in (log2, half, half + 1) for v in bits ^ bits >> s})
    u = np.arange(chunk)
    if x.size * min(prob, 1 - prob) ** 3 < 30:  # too few for a sum to be normal
        return
    deviation = np.sqrt(x.size) * (prob * (1 - prob)) ** 1.5
    z = [
        np.einsum("ij,ij,ij->", x, x[u ^ e], x[u ^ f], dtype=float) / deviation
        for e, f in itertools.combinations(masks, 2)
    ]
    yield from from_scores("triples by xor", prob, z)
