"""`table`: any file of rows or objects (CSV, TSV, Parquet, JSON, JSONL, `.gz`), read by `--map` (see `field_maps.py`).

`--explode completions,scores` makes a draw of each place of parallel lists; a map then finds the entry under the list's
own name. `--counts n,c` reads how many draws a prompt has and how many of them are right: two rows, however many draws.
Fields under their own names in SCHEMA need no map.
"""

from __future__ import annotations

from collections.abc import Iterator

from gsi_theory.types import Json, Record
from llm_check.logs.formats.documents import Documents
from llm_check.logs.formats.field_maps import NOTHING, exploded, value_at
from llm_check.logs.formats.log_format import Draw, LogFormat, Numbered, Reading, draws_of
from llm_check.logs.formats.unfit import Unfit
from llm_check.logs.pools.pool_files import ABSENT
from llm_check.logs.pools.schema import FIELDS

__all__ = ["TABLE"]


def _count(entry: Record, name: str) -> int:
    value: Json = value_at(entry, name)
    if value is NOTHING:
        raise Unfit(name, ABSENT, "--counts names the fields of draws and of right ones")
    try:
        count = int(value) if isinstance(value, str) else value
    except ValueError:
        count = None
    if isinstance(count, bool) or not isinstance(count, int | float) or not 0 <= count < 2**62 or count != int(count):
        raise Unfit(name, value, "--counts takes whole numbers, 0 or more")
    return int(count)


def _counted(draw: Draw, totals: tuple[str, str]) -> Iterator[Draw]:
    entry = dict(draw.parts[0])
    total, right = (_count(entry, name) for name in totals)
    if right > total:
        raise Unfit(totals[1], right, f"more than the {total} of {totals[0]}: name the number of draws first")
    for correct, count in ((True, right), (False, total - right)):
        if count:
            yield draw._replace(row={**draw.row, "correct": correct, "count": count})


def _rows(objects: Documents, reading: Reading) -> Numbered:
    def of_entry(number: int, entry: Record) -> Iterator[Draw]:
        for draw in exploded(entry, reading.explode):
            own = draw._replace(row={name: draw.parts[0][name] for name in FIELDS if name in draw.parts[0]})
            if reading.totals is None:
                yield own
            else:
                yield from _counted(own, reading.totals)

    return draws_of(objects, of_entry)


TABLE = LogFormat("table", "CSV, TSV, Parquet, JSON or JSONL, by --map, --explode and --counts", _rows)
