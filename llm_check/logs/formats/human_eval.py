"""`human-eval`: samples of HumanEval and its kin, {"task_id", "completion"}; with results, "passed"."""

from __future__ import annotations

from collections.abc import Iterator

from gsi_theory.types import Record
from llm_check.logs.formats.documents import Documents
from llm_check.logs.formats.log_format import Draw, LogFormat, Numbered, Reading, draws_of, member

__all__ = ["HUMAN_EVAL"]


def _rows(objects: Documents, reading: Reading) -> Numbered:
    def of_sample(number: int, entry: Record) -> Iterator[Draw]:
        task = entry.get("task_id")
        if not isinstance(task, int) or isinstance(task, bool):
            task = member(entry, "task_id", str)
        text = (
            entry["solution"] if "completion" not in entry and "solution" in entry else member(entry, "completion", str)
        )
        yield Draw({"prompt_id": task, "text": text, "correct": entry.get("passed")}, (entry,))

    return draws_of(objects, of_sample)


HUMAN_EVAL = LogFormat("human-eval", "samples of HumanEval, or its results with passed", _rows)
