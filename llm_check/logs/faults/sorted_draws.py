"""Finding `sorted_candidates`: the candidates stand in the order of their log-probability or reward."""

from __future__ import annotations

from gsi_theory.types import Record
from llm_check.logs.pools.finding import Explanation, LogRule
from llm_check.logs.pools.log_view import LogView

__all__ = ["SORTED"]


def _sorted(view: LogView) -> Record | None:
    return None if view.sorted_by is None else {"sorted_by": view.sorted_by}


SORTED = LogRule(
    "sorted_candidates",
    "error",
    "candidates are no independent draws, or their order was lost: log every draw in the order of drawing; say "
    "--fact iid=true where they were sorted afterwards and none was dropped",
    Explanation(
        "An n-best list (beam search, best_of, diverse decoding), or draws that were sorted afterwards, perhaps after "
        "dropping the worst: draws in the order of drawing are sorted at every prompt by no chance.",
        "p0: -31 -34 -40 -47      p1: -12 -15 -15 -22      p2: -28 -30 -33 -51",
        "vLLM: use_beam_search, best_of > n (returns the best by cumulative log-prob); SGLang: n alone is independent; "
        "transformers: num_beams, num_beam_groups; TGI: best_of. Use n (num_return_sequences) with do_sample.",
    ),
    _sorted,
)
