"""Finding `short_favored`: rewards fall with length within prompts, as products of step scores do."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from gsi_theory.types import Floats, Ints, Record
from llm_check.logs.pools.finding import Explanation, LogRule
from llm_check.logs.pools.log_view import LogView
from llm_check.logs.pools.position_arrays import dense_codes

__all__ = ["SHORT_FAVORED", "length_correlation"]

LEAST = 0.5  # correlation, in size
ERRORS = 5.0  # standard errors from 0


def length_correlation(reward: Floats, length: Floats, group: Ints) -> tuple[float, float, int]:
    """(mean rank correlation within groups, its z under no dependence, groups that tell).

    Under exchangeable lengths a rank correlation of N draws has mean 0 and variance 1/(N − 1), ties or not.
    """
    total, variance, weight = 0.0, 0.0, 0.0
    order = np.argsort(group, kind="stable")
    groups = 0
    for part in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if part.size < 3:
            continue
        x, y = rankdata(reward[part]), rankdata(length[part])
        x, y = x - x.mean(), y - y.mean()
        size = float(np.sqrt((x @ x) * (y @ y)))
        if size == 0.0:
            continue
        groups += 1
        freedom = part.size - 1.0
        total += freedom * float(x @ y) / size
        variance += freedom
        weight += freedom
    if weight == 0.0:
        return 0.0, 0.0, 0
    return total / weight, total / float(np.sqrt(variance)), groups


def _short(view: LogView) -> Record | None:
    reward, length = view.values("reward"), view.arrays.tokens
    if length is None and view.arrays.has("text"):
        length = np.array([np.nan if t is None else len(t) for t in view.arrays.column("text").to_pylist()], float)
    if reward is None or length is None or view.counted:
        return None
    use = np.isfinite(reward) & np.isfinite(length)
    if np.unique(reward[use]).size < 8:  # right or wrong: long answers may well be wrong
        return None
    correlation, z, groups = length_correlation(reward[use], length[use], dense_codes(view.prompt[use]))
    if correlation > -LEAST or z > -ERRORS:
        return None
    return {"rank_correlation": correlation, "z": z, "prompts": groups}


SHORT_FAVORED = LogRule(
    "short_favored",
    "warning",
    "rewards fall with length at one and the same prompt: a product of step scores shrinks with every step; "
    "aggregate by the last step, the least or the mean (gsi import --aggregate last | min | mean), and compare",
    Explanation(
        "Products of step scores, and sums of negative logits, are the smaller the more steps a solution has, whatever "
        "they are worth; selection then takes the shortest. Wrong solutions may be long too: a warning, no proof.",
        "4 steps of 0.9: 0.66      12 steps of 0.9: 0.28",
        "search-and-learn: agg_strategy prod; Qwen2.5-Math-PRM and Skywork users differ (product, min, last); vLLM and "
        "SGLang return the scores of all steps (token_classify, /pooling), transformers those of all step tokens.",
    ),
    _short,
)
