# SPDX-License-Identifier: Apache-2.0
"""Golden vectors: what was frozen as this version of the draw.

``golden_v2.json``, ``golden_weights_v2.json`` (the laws of the weights),
``golden_delays_v2.json`` (those of the delays) and ``golden_rules_v2.json`` (rules of
connections) were written once by ``python -m synjit.reference.golden``, and the tests
compare. They are also for whoever rebuilds W in another language: key words first, then
thresholds, places and weights, then whole small matrices.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from . import delays
from .connection_rules import FixedOutDegree
from .delays import Delays
from .draw import (
    DRAW_VERSION,
    chunk_keys,
    count_distribution,
    place,
    seed_words,
    thresholds,
    weight,
)
from .normal import standard_normal
from .products import ABSENT, Matrix
from .quantile_table import look_up
from .weight_laws import (
    Constant,
    Exponential,
    LogNormal,
    Normal,
    TruncatedNormal,
    Uniform,
    Weights,
)

PATH = Path(__file__).with_name(f"golden_v{DRAW_VERSION}.json")
WEIGHTS_PATH = Path(__file__).with_name(f"golden_weights_v{DRAW_VERSION}.json")
DELAYS_PATH = Path(__file__).with_name(f"golden_delays_v{DRAW_VERSION}.json")
RULES_PATH = Path(__file__).with_name(f"golden_rules_v{DRAW_VERSION}.json")

PROBS = (0.0, 1e-6, 0.003, 0.1, 0.25, 0.5, 0.77, 0.9, 1.0)
CHUNKS = ((0, 0, 0), (42, 0, 0), (42, 7, 3), (-1, 123456, 0), (2**63, 2**31 - 1, 9))
MATRICES = (
    (42, 0.0, (40, 40)),
    (42, 1e-6, (2000000, 3)),
    (42, 0.003, (700, 20)),
    (42, 0.1, (30, 20)),
    (42, 0.1, (2000, 2)),
    (42, 0.5, (3, 5)),
    (7, 0.5, (300, 2)),
    (7, 0.77, (20, 11)),
    (-1, 0.9, (16, 9)),
    (2**40 + 1, 0.25, (33, 8)),
    (2**64 - 2, 0.01, (9000, 2)),
    (1, 1.0, (12, 10)),
)
# k, rows, and the window's shape and origin.
OUT_DEGREES = (
    (3, 7, (7, 5), (0, 0)),
    (100, 1000, (1000, 4), (0, 0)),
    (1500, 1501, (1501, 3), (0, 1499)),
    (5000, 70_001, (2000, 3), (65_000, 65_500)),
    (2**20, 2**31 - 1, (3000, 2), (2**20, 2**20)),
)


def logistic(u: Decimal) -> Decimal:
    """Quantile function of the logistic law."""
    return (u / (1 - u)).ln()


LAWS: tuple[Weights, ...] = (
    Constant(),
    Normal(),
    Uniform(),
    LogNormal(0.1),
    LogNormal(1.0),
    TruncatedNormal(low=0.0),
    TruncatedNormal(-1.0, 2.5),
    TruncatedNormal(-2.0, 2.0),
    Exponential(),
    Weights.from_quantile(logistic),
    Weights.from_quantile(logistic, symmetric=True),
)
DELAYS = (  # those of the cortical microcircuit at 0.1 ms among them
    Delays(Constant(), 15.0, 0.0),
    Delays(TruncatedNormal(low=(0.5 - 15) / 7.5), 15.0, 7.5),
    Delays(TruncatedNormal(low=(0.5 - 7.5) / 3.75), 7.5, 3.75),
    Delays(Uniform(), 10.0, 9.4),
    Delays(Exponential(), 1.0, 5.0),
)
WORDS = tuple(
    side + word
    for side in (0, 2**31)
    for word in (0, 1, 2, 1000, 10**6, 2**30 - 1, 2**30, 2**31 - 1)
)


def vectors() -> dict[str, Any]:
    """Compute what the file holds."""
    return {
        "draw_version": DRAW_VERSION,
        "normal": [
            {"word": word, "z": int(standard_normal(word)[0])}
            for word in (0, 1, 2, 1000, 2**30, 2**31 - 1, 2**31, 2**31 + 5, 2**32 - 1)
        ],
        "laws": [_law(prob) for prob in PROBS],
        "chunks": [_chunk(*chunk) for chunk in CHUNKS],
        "matrices": [_matrix(*matrix) for matrix in MATRICES],
    }


def weight_vectors() -> list[dict[str, Any]]:
    """Compute what the file of the laws of weights holds."""
    return [_weights(weights) for weights in LAWS]


def delay_vectors() -> list[dict[str, Any]]:
    """Compute what the file of the laws of delays holds."""
    return [_delays(law) for law in DELAYS]


def _delays(law: Delays) -> dict[str, Any]:
    """Give a law: its table, delays of some words, and those of a small matrix."""
    rows, columns = np.ogrid[7:307, 3:23]
    drawn = delays.delay(seed_words(42), rows, columns, law.table)
    return {
        "delays": repr(law),
        "bounds": law.bounds,
        "table": law.table.tolist(),
        "delay_of_words": {
            str(word): int(delays.look_up(law.table, word)) for word in WORDS
        },
        "delays_of_rows_7_to_11_column_3": drawn[:5, 0].tolist(),
        "sha256_of_matrix": _digest(drawn.astype("<i8")),
    }


def rule_vectors() -> list[dict[str, Any]]:
    """Compute what the file of the rules of connections holds."""
    rules = [
        _rule(*rule, self_connections)
        for rule in OUT_DEGREES
        for self_connections in (True, False)
    ]
    return [*rules, _rule(0.5, None, (40, 30), (1010, 1005), False)]


def _rule(
    k_or_prob: float,
    rows: int | None,
    shape: tuple[int, int],
    origin: tuple[int, int],
    self_connections: bool,
) -> dict[str, Any]:
    """Give a rule: its words, and of a window the first rows of the first column."""
    rule = FixedOutDegree(int(k_or_prob), rows) if rows else k_or_prob
    matrix = Matrix(42, rule, shape, origin, self_connections=self_connections)
    z = matrix.dense()
    c = matrix.connectivity
    return {
        "k_or_prob": k_or_prob,
        "rows": rows,
        "self_connections": self_connections,
        "shape": list(shape),
        "origin": list(origin),
        "log2_chunk": c.log2_chunk,
        "base": c.base,
        "last_words": c.encode()[-2:].tolist(),
        "number_of_connections": int((z != ABSENT).sum()),
        "first_rows_of_first_column": np.flatnonzero(z[:, 0] != ABSENT)[:10].tolist(),
        "sha256_of_matrix": _digest(z.astype("<i8")),
    }


def _weights(weights: Weights) -> dict[str, Any]:
    """Give a law: its table, z of some words, and a small matrix."""
    matrix = Matrix(42, 0.1, (300, 20), origin=(7, 3), weights=weights)
    return {
        "weights": repr(weights),
        "mean": weights.mean,
        "spread": weights.spread,
        "number_of_words": len(weights.table),
        "words_0_to_9": weights.table[:10].tolist(),
        "sha256_of_words": _digest(weights.table.astype("<u4")),
        "z_of_words": {
            str(word): int(look_up(weights.table, word)[0]) for word in WORDS
        },
        "sha256_of_matrix": _digest(matrix.dense().astype("<i8")),
    }


def _law(prob: float) -> dict[str, Any]:
    steps = thresholds(prob)
    return {
        "prob": prob,
        "log2_chunk": count_distribution(prob).log2_chunk,
        "first_thresholds": steps[:3] if prob < 1 else [],
        "last_thresholds": steps[-3:],
        "number_of_thresholds": len(steps),
        "sha256_of_thresholds": _digest(np.array(steps, "<u8")),
    }


def _chunk(seed: int, column: int, chunk: int) -> dict[str, Any]:
    words = seed_words(seed)
    keys = chunk_keys(words, column, chunk)
    return {
        "seed": seed,
        "column": column,
        "chunk": chunk,
        "count_word": int(keys.count_word[0]),
        "multipliers": [int(a[0]) for a in keys.multipliers],
        "addends": [int(b[0]) for b in keys.addends],
        "places_of_0_to_4": {
            str(k): place(np.arange(5), keys, k).tolist() for k in (8, 10, 17, 31)
        },
        "weights_of_rows_0_to_4": weight(words, np.arange(5), column).tolist(),
    }


def _matrix(seed: int, prob: float, shape: tuple[int, int]) -> dict[str, Any]:
    """Give the first 100 connections, column by column, and a digest of all."""
    z = Matrix(seed, prob, shape).dense().T
    columns, rows = np.nonzero(z != ABSENT)
    connections = np.stack([rows, columns, z[columns, rows]], 1)
    return {
        "seed": seed,
        "prob": prob,
        "shape": list(shape),
        "number_of_connections": len(connections),
        "first_row_column_z": connections[:100].tolist(),
        "sha256_of_row_column_z": _digest(connections.astype("<i8")),
    }


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def main() -> None:
    """Write the files, unless they are there: a frozen draw is not frozen twice."""
    files = {
        PATH: vectors,
        WEIGHTS_PATH: weight_vectors,
        DELAYS_PATH: delay_vectors,
        RULES_PATH: rule_vectors,
    }
    missing = {path: make for path, make in files.items() if not path.exists()}
    if not missing:
        raise SystemExit(
            f"{', '.join(path.name for path in files)} exist: a change of the draw "
            "needs another DRAW_VERSION"
        )
    for path, make in missing.items():
        path.write_text(json.dumps(make(), indent=1) + "\n")


if __name__ == "__main__":
    main()
