"""`search-and-learn`: completions of its best_of_n, scored step by step by a process reward model.

The scores of the steps become one by --aggregate (last, unless stated), whatever chose its `pred`: its own `agg_scores`
are always the last step's. Beam search and DVTS write the same fields, and their completions share prefixes: they are
known by the name of the file, or by the -1 that DVTS writes as numbers of tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gsi_theory.types import Json, Record
from llm_check.logs.formats.documents import Documents
from llm_check.logs.formats.field_maps import aggregated
from llm_check.logs.formats.log_format import Draw, LogFormat, Numbered, Reading, draws_of, member, parallel

__all__ = ["SEARCH_AND_LEARN"]

_SEARCHED = re.compile(r"beam[_-]?search|dvts", re.IGNORECASE)
_REVISION = {"temperature": r"\bT-([\d.]+)--", "top_p": r"top_p-([\d.]+)--", "seed": r"seed-(\d+)--"}


def _rows(objects: Documents, reading: Reading) -> Numbered:
    for name, pattern in _REVISION.items():
        if found := re.search(pattern, reading.name):
            reading.fact(name, float(found[1]))

    def of_problem(number: int, entry: Record) -> Iterator[Draw]:
        completions = member(entry, "completions", list)
        lists = parallel(entry, ("scores", "agg_scores", "completion_tokens"), len(completions))
        tokens = lists.get("completion_tokens", [])
        if (searched := _SEARCHED.search(reading.name)) or -1 in tokens:
            reading.dependent(f"{searched[0] if searched else 'DVTS'} of search-and-learn: completions share prefixes")
        prompt: Json = next((entry[n] for n in ("unique_id", "problem") if entry.get(n) is not None), None)
        reading.once_in_file("unique_id", prompt, number)
        scores = "scores" if "scores" in lists else "agg_scores"
        reading.fact("aggregate", reading.aggregate if scores in lists else None)
        for index, text in enumerate(completions):
            row: Record = {"prompt_id": reading.line_name(number) if prompt is None else prompt, "text": text}
            if scores in lists:
                row["reward"] = aggregated(reading.aggregate, lists[scores][index], f"{scores}.{index}")
            if tokens and tokens[index] != -1:
                row["n_tokens"] = tokens[index]
            yield Draw(row, (entry,), index)

    return draws_of(objects, of_problem)


SEARCH_AND_LEARN = LogFormat(
    "search-and-learn", "completions of search-and-learn's best_of_n, with scores of steps", _rows, iid=True
)
