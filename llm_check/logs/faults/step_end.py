"""Finding `end_of_sequence`: one model's log-probabilities count the end-of-sequence token, the other's do not."""

from __future__ import annotations

from gsi_theory.types import Record
from llm_check.logs.pools.evidence import Evidence
from llm_check.logs.pools.finding import Explanation, FindingRule

__all__ = ["END"]


def _end(e: Evidence) -> Record | None:
    end = e.numbers.one_sided_end
    return None if end is None else {"not_counted_by": end.model, "share_of_rows": end.share, "known_by": end.known_by}


END = FindingRule(
    "end_of_sequence",
    "error",
    "one model's log-probabilities leave out the step's last token (the end of sequence): count it in both, or in "
    "neither and in no step that was cut",
    Explanation(
        "The draft's engine returns the end-of-sequence token with its log-probability, and the base was asked to "
        "score the text without it: every finished step's ratio is off by that token, and short steps look too good.",
        "draft  -1.2 -0.4 -0.1 -0.3(eos)      base  -1.0 -0.5 -0.2",
        "vLLM: include_stop_str_in_output, ignore_eos, and prompt_logprobs over the ids with eos_token_id appended; "
        "SGLang: no_stop_trim; transformers: generate() keeps the eos in sequences, tokenizers do not add it to text.",
    ),
    _end,
)
