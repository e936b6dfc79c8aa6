"""Places where cosmic-ray's operators can change a module, and a seeded sample with a share for every module."""

from __future__ import annotations

import ast
import functools
import random
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

from tests.mutants.rooms import ROOMS

# Pairs that a slip of the pen makes; changes of another type (a * for a |) die of a TypeError and show nothing.
OPERATORS = (
    *(
        f"ReplaceBinaryOperator_{pair}"
        for pair in (
            "Add_Sub",
            "Sub_Add",
            "Mul_Div",
            "Div_Mul",
            "Pow_Mul",
            "FloorDiv_Mul",
            "Mod_FloorDiv",
            "BitAnd_BitOr",
            "BitOr_BitAnd",
        )
    ),
    *(
        f"ReplaceComparisonOperator_{pair}"
        for pair in (
            "Lt_LtE",
            "LtE_Lt",
            "Gt_GtE",
            "GtE_Gt",
            "Eq_NotEq",
            "NotEq_Eq",
            "Lt_Gt",
            "LtE_GtE",
            "Gt_Lt",
            "GtE_LtE",
            "Is_IsNot",
            "IsNot_Is",
        )
    ),
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_Delete_USub",
    "ReplaceUnaryOperator_Delete_Invert",
    "NumberReplacer",
    "AddNot",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ZeroIterationForLoop",
)


@dataclass(frozen=True)
class Mutant:
    """One change: module (path from the root), operator, which of its occurrences, first and last line changed."""

    module: str
    operator: str
    occurrence: int
    first: int
    last: int


def modules(root: Path, room: str) -> list[str]:
    """The modules of a room, as paths from the root."""
    files = [
        file
        for place in ROOMS[room]
        for file in ([root / place] if place.endswith(".py") else (root / place).rglob("*.py"))
    ]
    return sorted(file.relative_to(root).as_posix() for file in files if file.name != "__init__.py")


def _idle_lines(source: str) -> set[tuple[int, int, int, int]]:
    """Spans of annotations: they are text to the interpreter, so that no change of them can matter."""
    spans = set()
    for node in ast.walk(ast.parse(source)):
        marks = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            marks.append(node.value)
        spans |= {(m.lineno, m.col_offset, m.end_lineno or 0, m.end_col_offset or 0) for m in marks if m is not None}
    return spans


@functools.cache
def places(root: Path, module: str) -> tuple[Mutant, ...]:
    """All changes that the operators can make in a module."""
    source = (root / module).read_text(encoding="utf-8")
    tree, idle = get_ast(source), _idle_lines(source)
    nodes = list(ast_nodes(tree))
    out = []
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        count = 0
        for node in nodes:
            for start, end in operator.mutation_positions(node):
                inside = any((a, b) <= tuple(start) and tuple(end) <= (c, d) for a, b, c, d in idle)
                if not inside:
                    out.append(Mutant(module, f"core/{name}", count, start[0], end[0]))
                count += 1
    return tuple(out)


def sample(root: Path, room: str, size: int, seed: int) -> list[Mutant]:
    """`size` changes of a room: modules in turn, weighted by nothing, so that small ones have their share."""
    rng = random.Random(f"{seed} {room}")
    rest = {module: rng.sample(all_, len(all_)) for module in modules(root, room) if (all_ := places(root, module))}
    picked: list[Mutant] = []
    while rest and len(picked) < size:
        for module in list(rest):
            picked.append(rest[module].pop())
            if not rest[module]:
                del rest[module]
    return picked[:size]


def changed(root: Path, mutant: Mutant) -> str:
    """The module's text with the change."""
    source = (root / mutant.module).read_text(encoding="utf-8")
    text = mutate_code(source, get_operator(mutant.operator)(), mutant.occurrence)
    if text is None:
        raise ValueError(f"no such place: {mutant}")
    return str(text)


def described(root: Path, mutant: Mutant) -> str:
    """The change in words that outlive other edits of the file: `module | old line -> new line`."""
    old = (root / mutant.module).read_text(encoding="utf-8").splitlines()
    new = changed(root, mutant).splitlines()
    at = next((k for k, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), mutant.first - 1)
    return f"{mutant.module} | {old[at].strip()} -> {new[at].strip()}"
