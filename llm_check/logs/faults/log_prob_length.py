"""Finding `log_prob_length`: log-probabilities that do not grow with the length of the step: means, or weights."""

from __future__ import annotations

from gsi_theory.types import Record
from llm_check.logs.pools.evidence import Evidence
from llm_check.logs.pools.finding import Explanation, FindingRule

__all__ = ["LENGTH_BLIND"]


def _blind(e: Evidence) -> Record | None:
    if e.numbers.placeholder is not None or e.uncovered or not e.numbers.blind:
        return None
    return {
        b.model: {"growth_exponent": b.slope, "standard_error": b.error, "shortest": b.shortest, "longest": b.longest}
        for b in e.numbers.blind
        if b.mean
    } or None


LENGTH_BLIND = FindingRule(
    "log_prob_length",
    "error",
    "log-probabilities do not grow with the length of the step: means over tokens (or weights) stand where sums "
    "belong; multiply by the number of tokens, or log the sums",
    Explanation(
        "A step of 200 tokens is much less likely than one of 20; a mean over tokens says the same of both. Ratios of "
        "means are all near 1, so the weights look perfect and say nothing.",
        "tokens 20 200 80      logp -1.9 -2.1 -2.0 (means)      logp -38 -420 -160 (sums)",
        "vLLM: cumulative_logprob (sum), not its quotient by the length; SGLang: sum output_token_logprobs; "
        "transformers: sequences_scores are divided by length**length_penalty, loss is a mean.",
    ),
    _blind,
)
