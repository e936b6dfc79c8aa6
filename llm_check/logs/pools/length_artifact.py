"""Artifact `step_length`: how long a step may be (M44), of one or several pools, for the figure of `gsi doctor`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.types import Record
from llm_check.logs.pools.pool import read_pool
from llm_check.logs.pools.prefixes import length_rows

__all__ = ["NAME", "write_lengths"]

NAME = "step_length"


def write_lengths(out: Path, pools: Sequence[Path], first: Sequence[Record], beta: float, strict: bool = False) -> Path:
    """Write the artifact: table `lengths`, a row a pool and length. first: `length_rows` of the first pool, known
    already. Pools go by their file's name. Raises InputError as `read_pool` and `length_rows`."""
    tables = [first, *(length_rows(read_pool(path, strict), [beta]) for path in pools[1:])]
    titles: list[str] = []
    for path in pools:
        alike = sum(title.partition(" (")[0] == path.stem for title in titles)
        titles.append(f"{path.stem} ({alike + 1})" if alike else path.stem)
    rows = [{"pool": title} | row for title, of_pool in zip(titles, tables, strict=True) for row in of_pool]
    names = ("pool", "tokens", "drafts", "kl", "chi2", "ess", "khat", "n_max")
    others = " ".join(f"--beside {shlex.quote(path.name)}" for path in pools[1:])
    line = f"gsi doctor {shlex.quote(pools[0].name)} --lengths {others} --beta {beta:g} --page FOLDER"
    summary = {"beta": beta, "pools": titles}
    return write_artifact(
        out,
        NAME,
        provenance(" ".join(line.split()), None),
        summary,
        {"lengths": {name: [row[name] for row in rows] for name in names}},
    )
