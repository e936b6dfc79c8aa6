"""What the bench knows of another library: a `Peer` of `Case`s, laws with what they stand on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gsi_theory.types import Floats

__all__ = ["FOLDER", "Case", "Law", "Peer", "fixed", "point"]

FOLDER = Path(__file__).resolve().parent
Law = Callable[[], Floats]  # enumerated when it is needed


@dataclass(frozen=True)
class Case:
    """One setting of a peer.

    id; driver: the driver's function, called with `settings` (JSON); quotation: what the peer says of it, `where`;
    stands_on: "documentation" where the words fix the law, "comment" where a comment of the source does, "expectation"
    where no law is documented and the one tested is what one might expect; outcomes: labels (K,); law: gives (K,);
    rivals: id -> (words, law) of what it may be instead; draws: outcomes asked for; remark: what the source shows where
    the draws refute the law, for the page; script: a file of `scripts/` that reproduces it; known: where users of the
    library have reported it.
    """

    id: str
    driver: str
    settings: Mapping[str, Any]
    quotation: str
    where: str
    outcomes: tuple[str, ...]
    law: Law
    rivals: Mapping[str, tuple[str, Law]] = field(default_factory=dict)
    stands_on: str = "documentation"
    draws: int = 4000
    remark: str = ""
    script: str = ""
    known: str = ""


@dataclass(frozen=True)
class Peer:
    """A library: name (of its environment and its requirements file), package and version on PyPI, home, its cases, and
    a remark on what is driven."""

    name: str
    package: str
    version: str
    home: str
    cases: tuple[Case, ...]
    remark: str = ""

    @property
    def requirements(self) -> Path:
        """Pinned requirements of its environment."""
        return FOLDER / "requirements" / f"{self.name}.txt"

    @property
    def driver(self) -> Path:
        """The program that runs in its environment."""
        return FOLDER / "drivers" / f"{self.name.replace('-', '_')}_driver.py"


def fixed(probabilities: Sequence[float]) -> Law:
    """A law as it is written."""
    return lambda: np.array(probabilities, dtype=np.float64)


def point(place: int, size: int) -> Law:
    """All mass on one of `size` outcomes."""
    return fixed([float(k == place) for k in range(size)])
