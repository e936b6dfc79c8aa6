"""Instances from a pool file: Parquet with prompt_id, step, source, candidate, logp_draft, logp_base, reward.

One (prompt_id, step) with N draft rows becomes an instance of K = N outcomes: the draft is uniform on them and the base
is the draft reweighted by e^ℓ and normalized, which is the pool's own estimate of the base on what was drafted. This
makes a *world* to simulate in. To predict what the two models do, use `gsi predict`, which keeps the ratios raw (M30).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from gsi_theory.arrays.logscale import normalize
from gsi_theory.errors import InputError
from gsi_theory.instance import Instance

__all__ = ["COLUMNS", "pool_instances"]

COLUMNS = ("prompt_id", "step", "source", "logp_draft", "logp_base", "reward")


def pool_instances(address: str, count: int) -> list[Instance]:
    """The first `count` steps of PATH or PATH#DIGEST, in order of their first row; all of them if there are fewer.

    Raises InputError naming the file, and the column or step at fault, or when the file is not the one of the digest.
    """
    import pyarrow as pa  # slow to import
    import pyarrow.parquet as pq

    name, _, digest = address.partition("#")
    path = Path(name)
    if not path.is_file():
        raise InputError(f"no pool at {path}: give a Parquet file that every worker can read")
    if digest and not hashlib.sha256(path.read_bytes()).hexdigest().startswith(digest):
        raise InputError(f"{path} is not the pool this run began with (digest {digest}): put it back, or begin again")
    try:
        table = pq.ParquetFile(path).read(use_threads=False)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} is not Parquet ({error}): give a pool as `gsi pool` writes it") from error
    missing = [column for column in COLUMNS if column not in table.column_names]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}: a pool has {', '.join(COLUMNS)}")
    columns = {column: table[column].to_pylist() for column in COLUMNS}
    steps: dict[tuple[str, int], list[int]] = {}
    for row, (prompt, step, source) in enumerate(
        zip(columns["prompt_id"], columns["step"], columns["source"], strict=True)
    ):
        if source == "draft":
            steps.setdefault((prompt, step), []).append(row)
    if not steps:
        raise InputError(f"{path} has no draft candidates: give a pool with source 'draft'")
    return [_instance(path, place, columns, rows) for place, rows in list(steps.items())[:count]]


def _instance(path: Path, place: tuple[str, int], columns: dict[str, list[Any]], rows: list[int]) -> Instance:
    draft, base, reward = (
        np.array([columns[name][row] for row in rows], dtype=np.float64)
        for name in ("logp_draft", "logp_base", "reward")
    )
    ratio = base - draft
    if not (np.isfinite(reward).all() and np.isfinite(ratio).all()):
        raise InputError(
            f"{path}, step {place[1]} of prompt {place[0]!r}: a number is missing or not finite: drop the row"
        )
    return Instance(np.full(len(rows), -np.log(len(rows))), normalize(ratio), reward)
