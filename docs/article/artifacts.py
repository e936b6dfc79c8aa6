"""The artifacts that the article's numbers come from: which, where they are read, and what of them is kept here.

An artifact is looked for in the folders given, in turn; the last resort is what is kept in docs/article/kept: of an
earlier run that its provenance names, without the tables that the article does not read.
`python -m docs.article.artifacts FOLDER` keeps those of a folder.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gsi_theory.runs.artifact import Artifact, read_artifact, write_artifact
from gsi_theory.types import Json

KEPT = Path(__file__).parent / "kept"


@dataclass(frozen=True)
class Need:
    """command: `gsi` with these arguments writes it. tables: what text and figures read beside the summary, with the
    columns (none: all). long: `make article` does not run the command, which needs a real model and minutes to hours.
    """

    command: tuple[str, ...]
    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    long: bool = False


_CELLS = ("draft", "tokens", "method", "beta", "n", "quantity", "predicted", "measured", "measured_se")
NEEDS: Mapping[str, Need] = {
    "lm_headline": Need(("check", "lm_headline"), {"positions": ()}),
    "bounds_vs_n": Need(("simulate", "bounds_vs_n"), {"gate": ()}),
    "gate_ablation": Need(("simulate", "gate_ablation")),
    "rule_limits": Need(("simulate", "rule_limits"), {"points": ()}),
    "exact_vs_mc": Need(("simulate", "exact_vs_mc")),
    # of the audit only its study of the rate, which does not depend on the claims
    "audit": Need(("audit", "--set", "claims=M18-kl")),
    "lm_study": Need(("check", "lm_study"), {"cells": _CELLS, "gains": (), "lengths": ()}, long=True),
}


@dataclass(frozen=True)
class Source:
    """An artifact, and whether it is the kept one."""

    artifact: Artifact
    kept: bool


def find(folders: Sequence[Path] = ()) -> dict[str, Source]:
    """Every artifact of NEEDS. Raises InputError as `read_artifact`."""
    found = {}
    for name in NEEDS:
        path = next((p for folder in folders if (p := folder / f"{name}.json").exists()), None)
        found[name] = Source(read_artifact(path or KEPT / f"{name}.json", name), path is None)
    return found


def _kept(table: Mapping[str, list[Json]], columns: Sequence[str]) -> dict[str, list[Json]]:
    """The columns; of a table of step lengths only the rows on whole answers."""
    whole = table.get("tokens") if "method" in table else None
    return {
        name: [value for i, value in enumerate(table[name]) if whole is None or whole[i] is None]
        for name in columns or table
    }


def keep(folder: Path) -> list[Path]:
    """Write to KEPT what the article reads of the artifacts in `folder`; those that are not there stay as they are."""
    written = []
    for name, need in NEEDS.items():
        if (path := folder / f"{name}.json").exists():
            found = read_artifact(path, name)
            tables = {table: _kept(found.tables[table], columns) for table, columns in need.tables.items()}
            written.append(write_artifact(KEPT / path.name, name, found.provenance, found.summary, tables))
    return written


if __name__ == "__main__":
    print("\n".join(map(str, keep(Path(sys.argv[1])))))
