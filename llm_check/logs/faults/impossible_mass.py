"""Finding `mass_above_one`: different steps of one position have probabilities that add up to more than 1."""

from __future__ import annotations

from gsi_theory.types import Record
from llm_check.logs.pools.evidence import Evidence
from llm_check.logs.pools.finding import Explanation, FindingRule

__all__ = ["MASS"]


def _mass(e: Evidence) -> Record | None:
    n = e.numbers
    if n.placeholder is not None or n.sentinels or n.blind or n.one_sided_end or e.uncovered:
        return None  # each says why
    return {
        m.model: {"largest_log_mass": m.log_mass, "positions": m.positions, "prompt_id": m.prompt_id}
        for m in n.overfull
    } or None


MASS = FindingRule(
    "mass_above_one",
    "error",
    "different steps of one prompt have probabilities that sum above 1: log sums of log-probabilities over the step's "
    "own tokens, in nats, without division by length or temperature",
    Explanation(
        "Whatever the models are, probabilities of different steps add up to 1 at most. Means over tokens, weights "
        "of a particle filter, base-10 logarithms, and log-probabilities divided by a temperature do not.",
        "four different steps, logp -1.1 -1.3 -1.0 -1.2: mass 1.27",
        "vLLM: cumulative_logprob is the sum; SGLang: sum meta_info.output_token_logprobs; transformers: "
        "compute_transition_scores(normalize_logits=True), summed, length_penalty off; its_hub: log_probs are weights.",
    ),
    _mass,
)
