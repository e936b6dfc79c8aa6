"""Finding `prompts_left_out`: so many prompts were left out for bad rows that the rest is another set of prompts."""

from __future__ import annotations

from gsi_theory.types import Record
from llm_check.logs.pools.finding import Explanation, LogRule
from llm_check.logs.pools.log_view import LogView

__all__ = ["LEFT_OUT"]

MOST = 0.05  # of the prompts


def _left_out(view: LogView) -> Record | None:
    left = view.prompts_left_out
    total = left + len({prompt for prompt, _ in view.arrays.names})
    return {"prompts_left_out": left, "prompts": total, "share": left / total} if left > MOST * total else None


LEFT_OUT = LogRule(
    "prompts_left_out",
    "warning",
    "more than 5 % of the prompts were left out for bad rows: numbers are of the others, which may be the easy ones; "
    "repair the rows (the list of them is below), or say of which prompts you speak",
    Explanation(
        "Rows that cannot be read take their whole prompt with them. Rows are seldom bad at random: answers that were "
        "cut, graders that ran out of time, and scorers that failed are so at hard and long prompts.",
        "100 prompts, 12 left out: means are of 88, errors do not count the 12",
        "gsi import --missing drop-row | worst | drop-prompt says what a missing reward becomes; vLLM and SGLang: "
        "raise max_model_len / --context-length where requests were refused; transformers: max_length.",
    ),
    _left_out,
)
