"""`every-eval-ever`: sample files of Every Eval Ever, {uuid}_samples.jsonl.

Its converters, which need a newer Python than ours, write such files from logs of HELM, lm-eval and Inspect: an outside
step. A sample with several outputs has one grade, which is of none of them: their texts are taken, ungraded.
"""

from __future__ import annotations

from collections.abc import Iterator

from gsi_theory.types import Record
from llm_check.logs.formats.documents import Documents
from llm_check.logs.formats.log_format import Draw, LogFormat, Numbered, Reading, draws_of, member, optional

__all__ = ["EVERY_EVAL_EVER"]


def _answer(entry: Record) -> str | None:
    """The extracted answer of the last attribution that says it is final, else of the last."""
    parts = [part for part in optional(entry, "answer_attribution", list) or [] if isinstance(part, dict)]
    final = [part for part in parts if part.get("is_terminal")] or parts
    return optional(final[-1], "extracted_value", str, "answer_attribution") if final else None


def _rows(objects: Documents, reading: Reading) -> Numbered:
    def of_sample(number: int, entry: Record) -> Iterator[Draw]:
        prompt = member(entry, "sample_id", str)
        reading.fact("model", optional(entry, "model_id", str))
        grades = member(entry, "evaluation", dict)
        texts = optional(optional(entry, "output", dict) or {}, "raw", list, "output") or [None]
        usage = optional(entry, "token_usage", dict) or {}
        for index, text in enumerate(texts):
            row: Record = {"prompt_id": prompt, "text": text}
            if len(texts) == 1:
                row["reward"] = optional(grades, "score", float, "evaluation")
                reading.graded()
                row["correct"] = grades.get("is_correct")
                row["answer"] = _answer(entry)
                row["n_tokens"] = optional(usage, "output_tokens", int, "token_usage")
            yield Draw(row, (entry,), index)

    return draws_of(objects, of_sample)


EVERY_EVAL_EVER = LogFormat(
    "every-eval-ever", "samples of Every Eval Ever, whose converters (an outside step) read HELM and others", _rows
)
