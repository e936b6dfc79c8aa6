"""Finding `one_model`: both columns hold the same numbers, so this is a log of one model."""

from __future__ import annotations

from gsi_theory.types import Record
from llm_check.logs.pools.evidence import Evidence
from llm_check.logs.pools.finding import Explanation, FindingRule

__all__ = ["ONE_MODEL"]


def _one_model(e: Evidence) -> Record | None:
    if not e.numbers.equal:
        return None
    rows = int(e.arrays.order.size)
    return {"rows": rows} | ({} if e.numbers.placeholder is None else {"log_probabilities_all": e.numbers.placeholder})


ONE_MODEL = FindingRule(
    "one_model",
    "warning",
    "this is a log of one model: logp_draft and logp_base are equal in every row, so no ratio tells anything; write "
    'source "one" without them (gsi import), and read it with gsi curve or gsi plan',
    Explanation(
        "One model drew and scored everything, or log-probabilities were filled in to satisfy a format (0, -100). "
        "Every ratio is 1, and every check of ratios passes whatever is wrong.",
        "logp_draft 0.0 = logp_base 0.0      or      -30.0 = -30.0, in every row",
        "nothing to set in vLLM, SGLang or transformers: a log of one model needs prompt_id, candidate and one of "
        "reward, correct, answer.",
    ),
    _one_model,
)
