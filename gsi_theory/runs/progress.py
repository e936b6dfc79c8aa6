"""Progress bars with time left, on standard error, only where a person watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gsi_theory.arrays.memory import largest_need, readable_size

__all__ = ["Report", "progress_bar"]

_WORTH_SAYING = 2e8  # bytes
# report(done, total): called by long work as it goes.
Report = Callable[[int, int], None]


@contextmanager
def progress_bar(label: str) -> Iterator[Report]:
    """A bar labeled `label`; yields the function that long work calls with (done, total)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(label, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total, description=label + _memory())
    if not console.is_terminal:
        console.print(f"{label}: done{_memory()}", highlight=False)


def _memory() -> str:
    """What was asked for beside the models, in words; nothing where it was little."""
    need = largest_need()
    return f", estimated memory up to {readable_size(need)}" if need >= _WORTH_SAYING else ""
