"""Instance files for `gsi law`: valid ones, degenerate ones, and bent ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.fuzz.mutate import Raw, bend, bend_bytes, dumps, pick

__all__ = ["instance_file"]

_REWARDS = ("0.0", "-0.0", "1e308", "-1e308", "1e-320", "1e300", "1", "0.1", "-1e16", "1e16", "0.30000000000000004")
_MASSES = ("0", "-0.0", "1e-320", "5e-324", "1e-300", "1e-17")


def _valid(rng: np.random.Generator) -> dict[str, Any]:
    """Policies over 1 to 6 completions, or a few hundred; some with zeros, ties, a missed completion, huge rewards."""
    size = 300 if rng.random() < 0.03 else int(rng.integers(1, 7))
    draft, base = (rng.dirichlet(np.full(size, pick(rng, (0.05, 1.0, 50.0)))) for _ in range(2))
    if rng.random() < 0.3:
        draft, base = (np.eye(size)[int(rng.integers(size))] * 0.5 + p * 0.5 for p in (draft, base))
    if rng.random() < 0.15:
        draft = np.eye(size)[int(rng.integers(size))]
    if rng.random() < 0.15:
        base = np.eye(size)[int(rng.integers(size))]
    reward = rng.normal(size=size) * pick(rng, (0.0, 1.0, 1.0, 1e3, 1e-9))
    record: dict[str, Any] = {"draft": draft.tolist(), "base": base.tolist(), "reward": reward.tolist()}
    if rng.random() < 0.3:
        record["reward"] = [Raw(pick(rng, _REWARDS)) for _ in range(size)]
    if rng.random() < 0.2:
        i, which = int(rng.integers(size)), pick(rng, ("draft", "base"))
        record[which] = [*record[which][:i], Raw(pick(rng, _MASSES)), *record[which][i:]]
        for name in {"draft", "base", "reward"} - {which}:
            record[name] = [*record[name][:i], Raw("0"), *record[name][i:]]
    return record


def instance_file(rng: np.random.Generator, bent: bool) -> bytes:
    """The bytes of an instance file, with something wrong or merely odd where `bent`."""
    record: Any = _valid(rng)
    if bent and rng.random() < 0.8:
        record = bend(rng, record)
    content = (dumps(record) + "\n").encode("utf-8")
    return bend_bytes(rng, content) if bent and rng.random() < 0.3 else content
