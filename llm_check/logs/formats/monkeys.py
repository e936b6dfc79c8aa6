"""`monkeys`: samples of Large Language Monkeys, from the hub (`is_corrects`) or the repository's YAML (`is_correct`).

No log-probabilities, no scores: text and whether it is right.
"""

from __future__ import annotations

from collections.abc import Iterator

from gsi_theory.types import Record
from llm_check.logs.formats.documents import Documents
from llm_check.logs.formats.log_format import Draw, LogFormat, Numbered, Reading, draws_of, member, parallel
from llm_check.logs.formats.unfit import Unfit
from llm_check.logs.pools.pool_files import ABSENT

__all__ = ["MONKEYS"]


def _rows(objects: Documents, reading: Reading) -> Numbered:
    def of_problem(number: int, entry: Record) -> Iterator[Draw]:
        samples = member(entry, "samples", list)
        graded = "is_corrects" if "is_corrects" in entry else "is_correct"
        lists = parallel(entry, (graded,), len(samples))
        if not lists:
            raise Unfit("is_corrects", ABSENT, "give whether each sample is right")
        prompt = entry.get("orig_dset_idx", entry.get("name"))
        reading.once_in_file("orig_dset_idx", prompt, number)
        prompt_id = reading.line_name(number) if prompt is None else prompt
        for index, (sample, correct) in enumerate(zip(samples, lists[graded], strict=True)):
            yield Draw({"prompt_id": prompt_id, "text": sample, "correct": correct}, (entry,), index)

    return draws_of(objects, of_problem)


MONKEYS = LogFormat("monkeys", "samples of Large Language Monkeys (JSONL, Parquet, YAML)", _rows, iid=True)
