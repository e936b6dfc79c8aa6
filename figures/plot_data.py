"""The artifacts that figures and the report read, and their tables with checked columns.

A missing artifact is None here, and the page then names the command that writes it. A file that exists but cannot be
read, or lacks a column, is bad input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from jinja2 import TemplateError

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import Artifact, read_artifact
from gsi_theory.types import Record

__all__ = ["COMMANDS", "Row", "distinct", "drawing", "read_all", "rows", "scalars", "spread", "where"]

Row: TypeAlias = Record

# artifact name -> command that writes it
COMMANDS: Mapping[str, str] = {
    "lm_headline": "gsi check lm_headline",
    "audit": "gsi audit",
    "bounds_vs_n": "gsi simulate bounds_vs_n",
    "methods": "gsi simulate methods",
    "steps": "gsi simulate steps",
    "exact_vs_mc": "gsi simulate exact_vs_mc",
    "lm_law": "gsi check lm_law",
    "lm_prediction": "gsi check lm_prediction",
    "lm_accuracy": "gsi check lm_accuracy",
    "lm_speed": "gsi check lm_speed",
}


def read_all(folder: Path) -> dict[str, Artifact | None]:
    """Every artifact in `folder` by name, None where there is no file.

    Raises InputError naming the file when one exists but cannot be read, or `folder` does not exist.
    """
    if not folder.is_dir():
        raise InputError(f"artifacts folder {folder} does not exist: run gsi report, or give the right folder")
    artifacts: dict[str, Artifact | None] = {}
    for name in COMMANDS:
        path = folder / f"{name}.json"
        try:
            artifacts[name] = read_artifact(path, name) if path.exists() else None
        except (OSError, KeyError) as error:
            raise InputError(f"{path} cannot be read ({error!r}): rerun {COMMANDS[name]}") from error
    return artifacts


@contextmanager
def drawing(name: str | None = None) -> Iterator[None]:
    """Turn an error of drawing from artifact `name` (None: from several) into an InputError: its content is not what
    its command writes. The original error is the cause.
    """
    try:
        yield
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TemplateError, TypeError, ValueError) as error:
        what = "an artifact" if name is None else f"artifact {name!r}"
        cure = f"rerun {COMMANDS.get(name or '', 'gsi report')}"
        raise InputError(f"{what} is not as its command writes it ({type(error).__name__}: {error}): {cure}") from error


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def rows(
    artifact: Artifact,
    table: str,
    numbers: Iterable[str] = (),
    others: Iterable[str] = (),
    optional: Iterable[str] = (),
    may_be_empty: bool = False,
) -> list[Row]:
    """The rows of one table: `numbers` and `others` must be there, an `optional` column that is absent reads None.

    A cell of a `numbers` column is a number or None. Raises InputError naming artifact, table and column otherwise.
    """
    position, cure = (
        f"table {table!r} of artifact {artifact.name!r}",
        f"rerun {COMMANDS.get(artifact.name, 'gsi report')}",
    )
    if table not in artifact.tables:
        raise InputError(f"{position} is missing (found {sorted(artifact.tables)}): {cure}")
    columns, numbers = artifact.tables[table], tuple(numbers)
    for name in (*numbers, *others):
        if name not in columns:
            raise InputError(f"{position} has no column {name!r} (found {sorted(columns)}): {cure}")
    for name in numbers:
        for i, value in enumerate(columns[name]):
            if not _is_number(value):
                raise InputError(f"{position} holds {value!r} in {name}[{i}], expected a number: {cure}")
    count = len(next(iter(columns.values()), []))
    if count == 0 and not may_be_empty:
        raise InputError(f"{position} is empty: {cure}")
    made: list[Row] = [{name: column[i] for name, column in columns.items()} for i in range(count)]
    for row in made:
        for name in optional:
            row.setdefault(name, None)
    return made


def scalars(artifact: Artifact, names: Iterable[str], optional: Iterable[str] = ()) -> Row:
    """The summary of an artifact; raises InputError when one of `names` is not in it."""
    for name in names:
        if name not in artifact.summary:
            raise InputError(
                f"the summary of artifact {artifact.name!r} has no {name!r} (found {sorted(artifact.summary)}): "
                f"rerun {COMMANDS.get(artifact.name, 'gsi report')}"
            )
    return dict.fromkeys(optional) | artifact.summary


def where(cells: Iterable[Row], **values: object) -> list[Row]:
    """The rows that have these values."""
    return [cell for cell in cells if all(cell[name] == value for name, value in values.items())]


def distinct(values: Iterable[Any]) -> list[Any]:
    """The values without None and repeats, in order of first appearance."""
    return list(dict.fromkeys(v for v in values if v is not None))


def spread(values: list[Any], count: int) -> list[Any]:
    """At most `count` of the values, evenly spaced, first and last among them."""
    if len(values) <= count:
        return values
    return [values[round(i * (len(values) - 1) / (count - 1))] for i in range(count)]
