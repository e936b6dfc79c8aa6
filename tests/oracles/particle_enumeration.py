"""Sequential Monte Carlo by listing ordered populations of particles in 50 digits.  Imports no project code.

Contract
- A tree is that of tree_enumeration.py. A population is a tuple of n prefixes; every ordered draw and every ordered
  resampling is listed. `log_weight(path)` is the log-weight of the last step of a path (mpf, -inf for zero).
- systematic: particles sorted by prefix; the uniform U of [0, 1) is cut wherever an ancestor changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import mpmath  # type: ignore[import-untyped, unused-ignore]

__all__ = ["returned", "weights_of"]

Node = Mapping[str, Any]
Path = tuple[int, ...]
Population = tuple[Path, ...]
DIGITS = 50


def _mpf(x: Any) -> Any:
    return mpmath.mpf(x.numerator) / x.denominator if isinstance(x, Fraction) else mpmath.mpf(x)


def _at(tree: Node, path: Path) -> Node | None:
    node: Node | None = tree
    for k in path:
        assert node is not None
        node = node["children"][k]
    return node


def weights_of(tree: Node, beta: Any, proposal: str) -> Callable[[Path], Any]:
    """β r + log(π_B/π_S), or β r for base proposals."""

    def log_weight(path: Path) -> Any:
        node, k = _at(tree, path[:-1]), path[-1]
        assert node is not None
        if not node["base"][k]:
            return -mpmath.inf
        ratio = mpmath.log(_mpf(node["base"][k]) / _mpf(node["draft"][k])) if proposal == "draft" else 0
        return _mpf(beta) * _mpf(node["reward"][k]) + ratio

    return log_weight


def _draws(tree: Node, population: Population, proposal: str) -> list[tuple[Population, Any]]:
    """Every ordered way in which the particles draw their next steps, with its chance."""
    choices: list[list[tuple[Path, Any]]] = []
    for path in population:
        node = _at(tree, path)
        if node is None:
            choices.append([(path, mpmath.mpf(1))])
        else:
            choices.append([((*path, k), _mpf(p)) for k, p in enumerate(node[proposal]) if p])
    return [(tuple(p for p, _ in way), mpmath.fprod(q for _, q in way)) for way in product(*choices)]


def _share(weights: Sequence[Any]) -> tuple[list[Any], Any]:
    """Shares of weights e^w, equal ones where all are zero; the mean weight."""
    mass = [mpmath.exp(w) if w > -mpmath.inf else mpmath.mpf(0) for w in weights]
    total = mpmath.fsum(mass)
    n = len(mass)
    return ([m / total for m in mass], total / n) if total else ([mpmath.mpf(1) / n] * n, mpmath.mpf(0))


def _resamplings(population: Population, share: Sequence[Any], resampling: str) -> list[tuple[Population, Any]]:
    n = len(population)
    if resampling == "multinomial":
        ways = product(range(n), repeat=n)
        return [(tuple(population[i] for i in way), mpmath.fprod(share[i] for i in way)) for way in ways]
    order = sorted(range(n), key=lambda i: population[i])
    ends, so_far = [], mpmath.mpf(0)
    for i in order:
        so_far += n * share[i]
        ends.append(so_far)
    ends[-1] = mpmath.mpf(n)
    cuts = sorted({mpmath.mpf(0), mpmath.mpf(1), *(e - mpmath.floor(e) for e in ends)})
    out = []
    for low, high in pairwise(cuts):
        u = (low + high) / 2
        picked = [population[order[next(j for j, e in enumerate(ends) if u + k < e)]] for k in range(n)]
        out.append((tuple(picked), high - low))
    return out


def returned(tree: Node, beta: Any, n: int, resampling: str, proposal: str) -> tuple[dict[Path, Any], Any, Any, Any]:
    """(law of the returned trajectory, expected steps drawn, E Ẑ, E Ẑ²)."""
    with mpmath.workdps(DIGITS):
        log_weight = weights_of(tree, beta, proposal)
        crowd: dict[tuple[Population, tuple[Any, ...]], list[Any]] = {
            (((),) * n, (mpmath.mpf(0),) * n): [mpmath.mpf(1)] * 3
        }
        law: dict[Path, Any] = {}
        draws = first = second = mpmath.mpf(0)
        while crowd:
            following: dict[tuple[Population, tuple[Any, ...]], list[Any]] = {}
            for (population, carried), (chance, one, two) in crowd.items():
                draws += chance * sum(1 for p in population if _at(tree, p) is not None)
                for moved, p in _draws(tree, population, proposal):
                    gained = [
                        c + (log_weight(m) if len(m) > len(old) else 0)
                        for c, m, old in zip(carried, moved, population, strict=True)
                    ]
                    share, mean = _share(gained)
                    # All particles alive or dead together with the tree's last level: the level is that of the longest.
                    if _last(tree, moved):
                        for path, s in zip(moved, share, strict=True):
                            law[path] = law.get(path, mpmath.mpf(0)) + chance * p * s
                        first += one * p * mean
                        second += two * p * mean**2
                        continue
                    if resampling == "none":
                        ways, scale = [(moved, mpmath.mpf(1), tuple(gained))], mpmath.mpf(1)
                    else:
                        listed = _resamplings(moved, share, resampling)
                        ways, scale = [(m, q, (mpmath.mpf(0),) * n) for m, q in listed], mean
                    for m, q, weights in ways:
                        sums = following.setdefault((m, weights), [mpmath.mpf(0)] * 3)
                        for i, grown in enumerate((chance, one * scale, two * scale**2)):
                            sums[i] += grown * p * q
            crowd = following
        return law, draws, first, second


def _last(tree: Node, population: Population) -> bool:
    """Whether no particle goes on."""
    return all(_at(tree, path) is None for path in population)
