"""Trees for the tests: exact ones for the oracle, the same as `Tree`, and a hypothesis strategy."""

from __future__ import annotations

from fractions import Fraction as F
from typing import Any

import numpy as np
from hypothesis import strategies as st

from gsi_theory.steps.tree import Tree

__all__ = ["BIG", "BIG_TREE", "RAGGED", "TREES", "as_array", "build", "grown", "worst"]


def policy(rng: np.random.Generator, size: int, zeros: bool) -> tuple[F, ...]:
    counts = rng.integers(0 if zeros else 1, 12, size)
    counts[rng.integers(size)] += 1
    return tuple(F(int(c), int(counts.sum())) for c in counts)


def exact_node(rng: np.random.Generator, size: int, zeros: bool = False) -> dict[str, Any]:
    """Rational policies and rewards that are multiples of 1/32: floats hold them, and their sums, exactly."""
    reward = tuple(F(int(v), 32) for v in rng.integers(-32, 33, size))
    return {"draft": policy(rng, size, zeros), "base": policy(rng, size, zeros), "reward": reward}


def exact_tree(depth: int, size: int) -> dict[str, Any]:
    """`depth` steps with `size` choices each; every prefix has one of 24 instances, in irregular order."""
    rng = np.random.default_rng([depth, size])
    found = [exact_node(rng, size) for _ in range(24)]

    def at(steps: int) -> dict[str, Any]:
        children = [at(steps + 1) if steps + 1 < depth else None for _ in range(size)]
        return found[rng.integers(24)] | {"children": children}

    return at(0)


def ragged_tree(seed: int, zeros: bool = True, depth: int = 4) -> dict[str, Any]:
    """Between one and four choices a node, between one and `depth` steps a path; zero masses and uncovered steps."""
    rng = np.random.default_rng([99, seed])

    def at(steps: int) -> dict[str, Any]:
        node = exact_node(rng, int(rng.integers(1, 5)), zeros)
        on = [steps + 1 < depth and rng.random() < 0.6 for _ in node["reward"]]
        return node | {"children": [at(steps + 1) if more else None for more in on]}

    return at(0)


def as_nested(node: dict[str, Any]) -> dict[str, Any]:
    floats = {name: [float(v) for v in node[name]] for name in ("draft", "base", "reward")}
    return floats | {"children": [c if c is None else as_nested(c) for c in node["children"]]}


def build(node: dict[str, Any]) -> Tree:
    return Tree.from_nested(as_nested(node))


BIG = exact_tree(4, 6)
BIG_TREE = build(BIG)
RAGGED = [ragged_tree(seed) for seed in range(6)]


def as_array(law: dict[tuple[int, ...], Any]) -> np.ndarray:
    return np.array([float(law[path]) for path in sorted(law)])


def worst(found: np.ndarray, truth: Any) -> float:
    """Largest error relative to max(1, |value|)."""
    truth = np.asarray(truth, dtype=np.float64)
    assert found.shape == truth.shape
    return float(np.max(np.abs(found - truth) / np.maximum(1.0, np.abs(truth))))


TREES = {"big": BIG_TREE, **{f"ragged {i}": build(node) for i, node in enumerate(RAGGED)}}


@st.composite
def grown(draw: st.DrawFn) -> Tree:
    """Ragged trees of at most three steps from hypothesis' seeds, some with zero masses."""
    return build(ragged_tree(draw(st.integers(0, 10**6)), draw(st.booleans()), draw(st.integers(1, 3))))
