"""The reference: a page a public module, every name of its `__all__`, from docstrings; and an example that a test runs.

A name that two modules export stands where it is first met, in the order of `PAGES`.
"""

from __future__ import annotations

import importlib
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from docs.markdown import code, plain, text_of, toctree

EXAMPLES = Path(__file__).parent / "examples"
# module -> title. The first are what scripts use; the last are the records that a new member of a family is made of.
PAGES = {
    "gsi_theory": "The laws",
    "gsi_theory.divergence": "Divergences",
    "gsi_theory.limits": "Limits",
    "gsi_theory.methods": "Methods",
    "gsi_theory.claims": "Claims",
    "gsi_theory.estimate": "Estimates from a pool",
    "gsi_theory.conform": "The bench for samplers",
    "gsi_theory.testing": "For your own tests",
    "llm_check": "From a log to an answer",
    "gsi_theory.instance": "Instances in detail",
    "gsi_theory.errors": "Errors",
    "gsi_theory.types": "Types",
    "gsi_theory.rules.rule": "The record of a rule",
    "gsi_theory.rules.table": "The table of rules",
    "gsi_theory.targets.target": "The record of a target",
    "gsi_theory.targets.target_table": "The table of targets",
    "gsi_theory.claims.claim": "The record of a claim",
    "gsi_theory.claims.facts": "What a claim may ask of an instance",
    "gsi_theory.claims.sides": "The two sides of a claim",
    "sims.experiment_record": "The record of an experiment",
}


class Entry(typing.NamedTuple):
    """A public name, where it is exported, and what it is."""

    module: str
    name: str
    value: object

    @property
    def path(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def defined(self) -> bool:
        """Whether it is a class or function of this very name."""
        return getattr(self.value, "__name__", None) == self.name


def exported(module: str) -> list[Entry]:
    """What a module exports, without modules, and without what is not for use (`moved`)."""
    names = sorted(importlib.import_module(module).__all__, key=lambda name: (name.isupper(), name))
    entries = [Entry(module, name, getattr(importlib.import_module(module), name)) for name in names]
    return [entry for entry in entries if not isinstance(entry.value, ModuleType)]


def _records(entry: Entry) -> Iterator[Entry]:
    """The classes that a function of llm_check answers with."""
    if inspect.isfunction(entry.value):
        answers = typing.get_type_hints(entry.value)["return"]
        for answer in typing.get_args(answers) or (answers,):
            if inspect.isclass(answer) and answer.__module__.startswith("llm_check"):
                yield Entry(answer.__module__, answer.__name__, answer)


def entries() -> dict[str, list[Entry]]:
    """Page -> what stands on it; every object once."""
    out: dict[str, list[Entry]] = {}
    met: set[int] = set()
    for page in PAGES:
        members = exported(page)
        if page == "llm_check":
            members += [record for entry in members for record in _records(entry)]
        out[page] = []
        for entry in members:
            # a constant or an alias of a type may be the object of another name: two entries all the same
            if not entry.defined or id(entry.value) not in met:
                out[page].append(entry)
                met.add(id(entry.value))
    return out


def _comment(entry: Entry) -> str:
    """The comment above a constant's line, else what kind of thing it is."""
    lines = inspect.getsource(importlib.import_module(entry.module)).split("\n")
    at = next((i for i, line in enumerate(lines) if re.match(rf"{entry.name}\b[^=]*=", line)), 0)
    above: list[str] = []
    while at and lines[at - 1].startswith("#"):
        at -= 1
        above.insert(0, lines[at].lstrip("#: "))
    value = entry.value
    if isinstance(value, dict):
        return " ".join([*above, f"{len(value)} entries: {', '.join(f'`{key}`' for key in value)}."])
    if isinstance(value, tuple):
        return " ".join([*above, f"{', '.join(f'`{item!s}`' for item in value)}."])
    return " ".join(above) or f"`{value!r}`"


def _directive(entry: Entry) -> str:
    if inspect.isclass(entry.value) and entry.defined:
        return f"```{{eval-rst}}\n.. autoclass:: {entry.path}\n   :members:\n   :undoc-members:\n```\n"
    if inspect.isroutine(entry.value):
        return f"```{{eval-rst}}\n.. autofunction:: {entry.path}\n```\n"
    return f"```{{py:data}} {entry.path}\n{plain(_comment(entry))}\n```\n"


def _page(module: str, members: list[Entry]) -> str:
    example = EXAMPLES / f"of_{module.replace('.', '_')}.py"
    shown = ["## Example\n", code(example.read_text(encoding="utf-8"), "python")] if example.exists() else []
    return "\n".join(
        [f"# {PAGES[module]}: `{module}`\n", text_of(module), *shown, "## Names\n", *map(_directive, members)]
    )


def reference_pages() -> dict[str, str]:
    """Name -> Markdown of every page, "index" among them."""
    head = (
        "# Reference\n\nEvery public name, from its docstring: shapes, units, errors raised, and the number of the "
        "formula it computes. `InputError` is raised for bad input, and names the value, the place and the cure.\n\n"
    )
    pages = {module: _page(module, members) for module, members in entries().items()}
    return pages | {"index": head + toctree(PAGES)}
