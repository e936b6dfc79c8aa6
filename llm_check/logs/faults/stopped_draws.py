"""Finding `stopped_at_success` (M48): how many draws a prompt got depends on what they were worth."""

from __future__ import annotations

import numpy as np

from gsi_theory.types import Record
from llm_check.logs.pools.finding import Explanation, LogRule
from llm_check.logs.pools.log_view import LogView

__all__ = ["STOPPED"]


def _stopped(view: LogView) -> Record | None:
    if view.stopped_by is None:
        return None
    sizes = np.diff(view.arrays.starts)
    return {"by": view.stopped_by, "fewest_draws": int(sizes.min()), "most_draws": int(sizes.max())}


STOPPED = LogRule(
    "stopped_at_success",
    "error",
    "means over these draws are biased: keep the first batch of every prompt alone, or draw the same number for each "
    "prompt (M48)",
    Explanation(
        "Prompts were drawn until a draw was right, so easy prompts have few draws and successes stand last; means "
        "over the draws of a prompt, and so curves and predictions, are too high.",
        "p0: x x x x | x x o x      p1: o x x x      p2: x x x x | x x x x | x o x x      (o right; | a batch)",
        "a loop around the engine, as in repeated sampling with early exit; vLLM and SGLang have no such setting, "
        "their n is fixed; transformers: num_return_sequences in a loop.",
    ),
    _stopped,
)
