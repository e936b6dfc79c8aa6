"""The value-guided walk with steps back, in Fractions, state by state.  Imports no project code.

Contract
- A tree is that of tree_enumeration.py, {"base": (K,), "children": (K,)} of Fractions. States: prefixes, () the root.
- `values` is a dict from every prefix but () to a positive Fraction.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

__all__ = ["after", "asked", "first_leaf", "forward", "leaves", "moves", "stationary"]

Node = Mapping[str, Any]
Path = tuple[int, ...]
Values = Mapping[Path, Fraction]
Law = dict[Path, Fraction]
HALF = Fraction(1, 2)


def _nodes(tree: Node, prefix: Path = ()) -> dict[Path, Node]:
    out = {prefix: tree}
    for k, child in enumerate(tree["children"]):
        if child is not None:
            out |= _nodes(child, (*prefix, k))
    return out


def leaves(tree: Node) -> list[Path]:
    """Every trajectory."""
    nodes = _nodes(tree)
    return sorted((*p, k) for p, node in nodes.items() for k, child in enumerate(node["children"]) if child is None)


def moves(tree: Node, values: Values) -> dict[Path, Law]:
    """From every state the chances of the next, given that the walk moves."""
    out: dict[Path, Law] = {}
    for path, node in _nodes(tree).items():
        weights = {(*path, k): p * values[(*path, k)] for k, p in enumerate(node["base"])}
        if path:
            weights[path[:-1]] = values[path]
        total = sum(weights.values())
        out[path] = {to: w / total for to, w in weights.items() if w}
    for leaf in leaves(tree):
        out[leaf] = {leaf[:-1]: Fraction(1)}
    return out


def after(tree: Node, values: Values, steps: int) -> Law:
    """The law of the state after so many steps from the root."""
    way = moves(tree, values)
    law: Law = {(): Fraction(1)}
    for _ in range(steps):
        following: Law = {}
        for state, mass in law.items():
            following[state] = following.get(state, Fraction(0)) + HALF * mass
            for to, p in way[state].items():
                following[to] = following.get(to, Fraction(0)) + HALF * mass * p
        law = following
    return law


def asked(tree: Node, values: Values, steps: int) -> Fraction:
    """Expected number of values asked for: all next steps that the base can take, when the walk leaves a prefix."""
    nodes, total = _nodes(tree), Fraction(0)
    for s in range(steps):
        law = after(tree, values, s)
        total += sum(
            (HALF * law.get(p, Fraction(0)) * sum(1 for b in n["base"] if b) for p, n in nodes.items()), Fraction(0)
        )
    return total


def stationary(tree: Node, values: Values) -> Law:
    """The law that the moves leave as it is, from the equations of balance along each edge."""
    way = moves(tree, values)
    mass: Law = {(): Fraction(1)}
    for state in sorted(way, key=len):
        if state:
            parent = state[:-1]
            p = way[parent].get(state, Fraction(0))
            mass[state] = mass.get(parent, Fraction(0)) * p / way[state][parent]
    total = sum(mass.values())
    return {s: m / total for s, m in mass.items()}


def forward(tree: Node, values: Values) -> Law:
    """The law of the leaf when no step is taken back."""
    law: Law = {(): Fraction(1)}
    for path, node in sorted(_nodes(tree).items(), key=lambda pair: len(pair[0])):
        weights = [p * values[(*path, k)] for k, p in enumerate(node["base"])]
        for k, w in enumerate(weights):
            law[(*path, k)] = law[path] * w / sum(weights)
    return {leaf: law[leaf] for leaf in leaves(tree)}


def first_leaf(tree: Node, values: Values) -> tuple[Law, Fraction]:
    """The law of the first leaf, and the expected number of values asked for until it is reached."""
    visits, way, nodes = _visits(tree, values), moves(tree, values), _nodes(tree)
    law = {leaf: visits[leaf[:-1]] * way[leaf[:-1]].get(leaf, Fraction(0)) for leaf in leaves(tree)}
    cost = sum((v * sum(1 for b in nodes[p]["base"] if b) for p, v in visits.items()), Fraction(0))
    return law, cost


def _visits(tree: Node, values: Values) -> Law:
    """Expected visits of every prefix before a leaf, lazy stays not counted: u = e_root + uM, by elimination."""
    way, nodes = moves(tree, values), list(_nodes(tree))
    index = {p: i for i, p in enumerate(nodes)}
    size = len(nodes)
    rows = [[Fraction(int(i == j)) for j in range(size)] + [Fraction(int(i == 0))] for i in range(size)]
    for state in nodes:
        for to, p in way[state].items():
            if to in index:
                rows[index[to]][index[state]] -= p
    for i in range(size):
        pivot = next(r for r in range(i, size) if rows[r][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for r in range(size):
            if r != i and rows[r][i]:
                rows[r] = [a - rows[r][i] * b for a, b in zip(rows[r], rows[i], strict=True)]
    return {p: rows[i][size] for p, i in index.items()}
