"""Finding `copied_sources`: base rows are copies of draft rows, so nobody drew from the base."""

from __future__ import annotations

from gsi_theory.types import Record
from llm_check.logs.pools.evidence import Evidence
from llm_check.logs.pools.finding import Explanation, FindingRule

__all__ = ["COPIED"]


def _copied(e: Evidence) -> Record | None:
    if not e.numbers.copied:
        return None
    return {"base_rows_copied": e.numbers.copied, "base_rows": int(e.arrays.is_base.sum())}


COPIED = FindingRule(
    "copied_sources",
    "error",
    "rows of source base repeat draft rows: drop them and leave a log of drafts only, or draw from the base",
    Explanation(
        "The drafts were written a second time as draws of the base, perhaps to give both sources the same number of "
        "rows. Independent draws of long steps never agree, so the copies are told for certain.",
        "draft 0  -374.2 -378.7 0.231      base 0  -374.2 -378.7 0.231      (the same numbers)",
        "the script that joined the two scorings: prompt_logprobs (vLLM) or input_token_logprobs (SGLang) of drafts "
        "give logp_base of draft rows, never rows of source base; transformers: generate() with the base itself.",
    ),
    _copied,
)
