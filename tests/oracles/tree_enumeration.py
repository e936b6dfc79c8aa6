"""Laws of trajectories by listing every trajectory.  Imports no project code.

Contract
- A node is {"draft": (K,), "base": (K,), "reward": (K,), "children": (K,)}: Fractions, children are nodes or None.
- A trajectory is the tuple of the steps taken, a law is a dict from trajectory to 60-digit mpf.  Everything about
  trajectories is a sum over all of them, with no recursion: a soft value sums over the trajectories below a prefix.
- `step_law(node)` returns (K,) probabilities of the next step (Fraction or mpf).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import mpmath  # type: ignore[import-untyped, unused-ignore]

from tests.oracles import enumeration

__all__ = [
    "chain_terms",
    "gsi_step",
    "kl",
    "law",
    "marginal",
    "nodes",
    "paths",
    "sequence_tilt",
    "soft_value",
    "tilted_step",
    "totals",
    "tv",
]

Node = Mapping[str, Any]
Path = tuple[int, ...]
Law = dict[Path, Any]
StepLaw = Callable[[Node], Sequence[Any]]
DIGITS = enumeration.MP_DIGITS


def _mpf(x: Any) -> Any:
    return mpmath.mpf(x.numerator) / x.denominator if isinstance(x, Fraction | int) else mpmath.mpf(x)


def paths(tree: Node) -> Iterator[list[tuple[Node, int]]]:
    """Every trajectory as its list of (node, step taken), depth first."""
    for k, child in enumerate(tree["children"]):
        if child is None:
            yield [(tree, k)]
        else:
            for rest in paths(child):
                yield [(tree, k), *rest]


def nodes(tree: Node, prefix: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every prefix that continues, with its node."""
    yield prefix, tree
    for k, child in enumerate(tree["children"]):
        if child is not None:
            yield from nodes(child, (*prefix, k))


def _steps(path: Sequence[tuple[Node, int]]) -> Path:
    return tuple(k for _, k in path)


def totals(tree: Node) -> Law:
    """Sum of the step rewards of each trajectory."""
    with mpmath.workdps(DIGITS):
        return {_steps(p): mpmath.fsum(_mpf(node["reward"][k]) for node, k in p) for p in paths(tree)}


def law(tree: Node, step_law: StepLaw) -> Law:
    """Probability of each trajectory: the product of its steps' probabilities."""
    with mpmath.workdps(DIGITS):
        return {_steps(p): mpmath.fprod(_mpf(step_law(node)[k]) for node, k in p) for p in paths(tree)}


def marginal(of: Law, depth: int) -> Law:
    """Law of the first `depth` steps."""
    out: Law = {}
    with mpmath.workdps(DIGITS):
        for path, probability in of.items():
            out[path[:depth]] = out.get(path[:depth], mpmath.mpf(0)) + probability
    return out


def tilted_step(node: Node, beta: Any) -> list[Any]:
    """The base at one node tilted by its step reward."""
    with mpmath.workdps(DIGITS):
        mass = [
            _mpf(b) * mpmath.exp(mpmath.mpf(beta) * _mpf(r)) for b, r in zip(node["base"], node["reward"], strict=True)
        ]
        return [m / mpmath.fsum(mass) for m in mass]


def gsi_step(node: Node, beta: float, n: int, threshold: float | None, rule: str) -> tuple[list[Any], Any]:
    """(law of one step, probability of acceptance) of the gated scheme with n draws on either side."""
    return _gsi_step(tuple(node["draft"]), tuple(node["base"]), tuple(node["reward"]), beta, n, threshold, rule)


@functools.cache
def _gsi_step(
    draft: tuple[Any, ...], base: tuple[Any, ...], reward: tuple[Any, ...],
    beta: float, n: int, threshold: float | None, rule: str,
) -> tuple[list[Any], Any]:  # fmt: skip
    with mpmath.workdps(DIGITS):
        log_draft, log_base = ([mpmath.log(_mpf(p)) if p else -mpmath.inf for p in policy] for policy in (draft, base))
        nats = [mpmath.mpf(beta) * _mpf(r) for r in reward]
        # What the draft cannot draw has no weight; any finite number will do.
        ratio = [b - d if d > -mpmath.inf else mpmath.mpf(0) for d, b in zip(log_draft, log_base, strict=True)]
        chosen = enumeration.selection_law_mp(log_draft, [x + e for x, e in zip(nats, ratio, strict=True)], n, rule)
        fallback = enumeration.selection_law_mp(log_base, nats, n, rule)
        cut = -mpmath.inf if threshold is None else mpmath.mpf(threshold)
        kept = [_mpf(r) + e / mpmath.mpf(beta) >= cut for r, e in zip(reward, ratio, strict=True)]
        accepted = [q if keep else mpmath.mpf(0) for q, keep in zip(chosen, kept, strict=True)]
        p_accept = mpmath.fsum(accepted)
        return [a + (1 - p_accept) * b for a, b in zip(accepted, fallback, strict=True)], p_accept


def sequence_tilt(tree: Node, beta: Any, reward: Law) -> Law:
    """Base probability of each trajectory times e^{beta R}, normalized over all trajectories."""
    with mpmath.workdps(DIGITS):
        base = law(tree, lambda node: node["base"])
        mass = {path: p * mpmath.exp(mpmath.mpf(beta) * reward[path]) for path, p in base.items()}
        total = mpmath.fsum(mass.values())
        return {path: m / total for path, m in mass.items()}


def soft_value(tree: Node, beta: Any, reward: Law, prefix: Path) -> Any:
    """(1/beta) log E[e^{beta R} | prefix] under the base over the trajectories below `prefix`; the mean at beta = 0."""
    with mpmath.workdps(DIGITS):
        terms = []
        for p in paths(tree):
            path = _steps(p)
            if path[: len(prefix)] == prefix:
                after = mpmath.fprod(_mpf(node["base"][k]) for node, k in p[len(prefix) :])
                terms.append((after, reward[path]))
        if beta == 0:
            return mpmath.fsum(m * r for m, r in terms)
        return mpmath.log(mpmath.fsum(m * mpmath.exp(mpmath.mpf(beta) * r) for m, r in terms)) / mpmath.mpf(beta)


def chain_terms(tree: Node, p: StepLaw, q: StepLaw, divergence: Callable[[Any, Any], Any]) -> list[Any]:
    """E over prefixes of length t under p of divergence(p(.|prefix), q(.|prefix)), t = 0, 1, ..."""
    out: dict[int, Any] = {}
    of_p = law(tree, p)
    with mpmath.workdps(DIGITS):
        for prefix, node in nodes(tree):
            reach = mpmath.fsum(m for path, m in of_p.items() if path[: len(prefix)] == prefix)
            laws = [[_mpf(x) for x in step(node)] for step in (p, q)]
            term = reach * divergence(*laws) if reach else mpmath.mpf(0)
            out[len(prefix)] = out.get(len(prefix), mpmath.mpf(0)) + term
    return [out[t] for t in sorted(out)]


def kl(p: Law, q: Law) -> Any:
    """KL(p || q) in nats."""
    return enumeration.kl([p[path] for path in p], [q[path] for path in p])


def tv(p: Law, q: Law) -> Any:
    """Total variation."""
    return enumeration.tv([p[path] for path in p], [q[path] for path in p])
