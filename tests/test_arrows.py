"""Who may import whom, and what may bear which name: the folders of the design, held by reading the source.

An import counts wherever it stands, also inside a function; only those for the type checker are left out. What is not
yet as it should be is listed in the sets named ..._LEFT, which only shrink.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("gsi_theory", "sims", "llm_check", "figures")

# folder -> what of ours it may import
ARROWS = {
    "gsi_theory": {"gsi_theory"},
    "sims": {"sims", "gsi_theory"},
    "llm_check": {"llm_check", "gsi_theory"},
    "llm_check/logs": {"llm_check/logs", "gsi_theory"},
    # of the table of methods figures take labels and looks, nothing computed
    "figures": {"figures", "gsi_theory/runs", "gsi_theory/errors.py", "gsi_theory/types.py", "gsi_theory/methods.py"},
}
# The command line is one thin group that loads its subcommands by name; a report runs all of them.
COMMANDS = {"gsi_theory/cli.py", "gsi_theory/runs/command_report.py"}
# (file, file that it imports)
ARROWS_LEFT: set[tuple[str, str]] = set()

# A member may be in two families: a rule and the claims on it, an experiment and its figure, a law and its logs.
FAMILIES = {
    "rules": "gsi_theory/rules",
    "claims": "gsi_theory/claims",
    "certified": "gsi_theory/certified",
    "laws": "gsi_theory/laws",
    "experiments": "sims/experiments",
    "figures": "figures",
    "formats": "llm_check/logs/formats",
}
# records whose numbers change as they are used
CHANGING = {
    "sims/audits/tables.py: Totals",
    "gsi_theory/conformance/e_process.py: EProcess",
    "gsi_theory/conformance/toy_problem.py: ToyProblem",
    "llm_check/custom_generate.py: GuidedGenerate",
    "llm_check/logs/formats/log_format.py: Reading",
    "llm_check/models/engines/prefix_cache.py: PrefixCache",
    "llm_check/models/decoding/search.py: _Search",
}
NAMES_LEFT: set[str] = set()
CLASSES_LEFT: set[str] = set()
CYCLES_LEFT: set[str] = set()
# No library of language models, and nothing slow to import, where logs are read.
NOT_IN_LOGS = {"torch", "transformers", "safetensors", "tokenizers", "vllm", "datasets"}
MOST_AT_THE_TOP = 12


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in sources()}
DOTTED = {name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in TREES}


def _for_the_checker(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(tree: ast.AST, everywhere: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a module: everywhere, or only those that run when it is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif _for_the_checker(node) or (
            not everywhere and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        ):
            continue
        else:
            yield from statements(node, everywhere)


def dotted_names(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert node.level == 0 and node.module is not None, "imports are absolute"
    # `from package import name` imports the module `package.name` where there is one
    return [full if (full := f"{node.module}.{alias.name}") in DOTTED else node.module for alias in node.names]


def imported(name: str, everywhere: bool = True) -> set[str]:
    """The files of ours that a file imports."""
    names = (dotted for node in statements(TREES[name], everywhere) for dotted in dotted_names(node))
    return {DOTTED[dotted] for dotted in names if dotted in DOTTED} - {name}


def under(name: str, folders: Iterable[str]) -> bool:
    return any(name == folder or name.startswith(f"{folder}/") for folder in folders)


def test_arrows_between_folders() -> None:
    wrong = {
        (name, other)
        for folder, allowed in ARROWS.items()
        for name in TREES
        if under(name, [folder]) and name not in COMMANDS
        for other in imported(name)
        if not under(other, allowed)
    }
    assert wrong <= ARROWS_LEFT


def test_logs_import_no_library_of_models() -> None:
    wrong = {
        (name, dotted)
        for name in TREES
        if under(name, ["llm_check/logs"])
        for node in statements(TREES[name], everywhere=True)
        for dotted in dotted_names(node)
        if dotted.split(".")[0] in NOT_IN_LOGS
    }
    assert not wrong


def components(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one node (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    cycles: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            cut = stack.index(node)
            if len(stack) - cut > 1:
                cycles.append(sorted(stack[cut:]))
            del stack[cut:]

    for node in graph:
        if node not in index:
            visit(node)
    return cycles


def test_the_search_for_cycles_finds_one() -> None:
    assert components({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [["a", "b", "c"]]
    assert components({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_cycles_between_modules() -> None:
    cycles = components({name: imported(name, everywhere=False) for name in TREES})
    assert {" ".join(cycle) for cycle in cycles} <= CYCLES_LEFT


def family_of(name: str) -> str:
    return next((family for family, folder in FAMILIES.items() if under(name, [folder])), "")


def test_no_file_name_twice() -> None:
    files: dict[str, list[str]] = defaultdict(list)
    for name in TREES:
        if not name.endswith("__init__.py"):
            files[name.rpartition("/")[2]].append(name)
    twice = set()
    for name, paths in files.items():
        families = [family_of(path) for path in paths]
        if len(paths) > 1 and ("" in families or len(set(families)) < len(families)):
            twice.add(name)
    assert twice <= NAMES_LEFT


def test_no_public_class_name_twice() -> None:
    classes: dict[str, list[str]] = defaultdict(list)
    for name, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes[node.name].append(name)
    assert {name for name, places in classes.items() if len(places) > 1} <= CLASSES_LEFT


def test_records_are_frozen() -> None:
    changing = set()
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            made = [ast.unparse(mark) for mark in getattr(node, "decorator_list", ())]
            if any(mark.startswith("dataclass") and "frozen=True" not in mark for mark in made):
                changing.add(f"{name}: {node.name}")
    assert changing == CHANGING


def test_few_files_at_the_top() -> None:
    assert len(list((ROOT / "gsi_theory").glob("*.py"))) <= MOST_AT_THE_TOP


@pytest.mark.parametrize("name", ["read_log", "read_pool", "doctor", "predict", "plan", "curve", "decode"])
def test_no_module_bears_the_name_of_a_public_function(name: str) -> None:
    assert not [path for path in TREES if path.startswith("llm_check/") and path.endswith(f"/{name}.py")]
