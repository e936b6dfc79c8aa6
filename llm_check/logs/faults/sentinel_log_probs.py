"""Finding `sentinel_log_probs`: -9999 and its like, and zeros that pad what nobody scored, among log-probabilities."""

from __future__ import annotations

from gsi_theory.types import Record
from llm_check.logs.pools.evidence import Evidence
from llm_check.logs.pools.finding import Explanation, FindingRule

__all__ = ["SENTINELS"]


def _sentinels(e: Evidence) -> Record | None:
    found = e.numbers.sentinels
    if e.numbers.placeholder is not None or not found:
        return None
    if e.numbers.one_sided_end and not any(s.low for s in found):  # steps of which nothing is left
        return None
    return {
        s.model: {"rows_far_below": s.low, "rows_of_padding": s.zero, "row": s.first, "value": s.value} for s in found
    }


SENTINELS = FindingRule(
    "sentinel_log_probs",
    "error",
    "these are no log-probabilities: write -inf where the model cannot draw the step, score again what was not scored, "
    "and never pad with 0.0",
    Explanation(
        "-9999 (or -1000, -1e4) stands for minus infinity in served log-probabilities; 0.0, a probability of one, "
        "fills in for tokens that were not scored. Sums of them look like numbers, and one such row outweighs all "
        "others.",
        "logp_base  -378.7 -142.4 0.0 -201.9 -9999.0 -77.3",
        "vLLM: -9999.0 in served logprobs is -inf; the first prompt_logprobs entry is null, not 0; SGLang: first "
        "input_token_logprobs entry null; transformers: labels padded with -100, sequences right-padded to one length.",
    ),
    _sentinels,
)
