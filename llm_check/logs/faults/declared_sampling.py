"""Findings `recorded_temperature`, `tempered_law`, `declared_truncation`: what a log says of its draws."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gsi_theory.types import Json, Record
from llm_check.logs.pools.evidence import Evidence
from llm_check.logs.pools.finding import Explanation, FindingRule
from llm_check.logs.pools.log_view import LogView

__all__ = ["RECORDED_TEMPERATURE", "TEMPERED_LAW", "TRUNCATION"]

NARROW = 0.1  # of T̂'s interval about 1: the draws themselves say that their numbers are at their temperature


def _said(view: LogView, name: str, columns: tuple[str, ...]) -> float | None:
    """A number of a fact, or of a column that has one value; None where nothing says it."""
    value = view.facts.get(name)
    for column in columns:
        if value is None and view.arrays.has(column):
            numbers = view.arrays.table[column].to_pylist()
            value = next((number for number in numbers if number is not None), None)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _temperature(view: LogView) -> float | None:
    return _said(view, "temperature", ("sampling_temperature", "temperature"))


def _scored_at(view: LogView, temperature: float) -> str | None:
    """What says that both models were scored at the temperature of the draws; None for nothing."""
    if view.facts.get("logprobs") == "processed":
        return "facts: processed log-probabilities"
    contracts: list[Json] = [view.metadata.get(model) for model in ("draft", "base")]
    if all(isinstance(c, Mapping) and c.get("sampling_temperature") == temperature for c in contracts):
        return "both models' contracts"
    return None


def _by_draws(e: Evidence) -> str | None:
    """Whether repeats say T = 1 of every source that drew: T̂'s interval is narrow and holds 1."""
    checks = [e.draws[source] for source in e.drawn]
    intervals = [check.interval for check in checks if check is not None and check.level == "token"]
    told = [low for low, high in (i for i in intervals if i) if low <= 1.0 <= high and high - low < 2.0 * NARROW]
    return "the draws themselves" if told and len(told) == len(checks) else None


def _recorded(e: Evidence) -> Record | None:
    temperature = _temperature(e.view)
    if temperature in (None, 1.0) or _scored_at(e.view, temperature or 0.0) or _by_draws(e):
        return None
    said = e.view.facts.get("logprobs")
    return {"sampling_temperature": temperature} | ({"log_probs": said} if said else {})


def _tempered(e: Evidence) -> Record | None:
    temperature = _temperature(e.view)
    if temperature in (None, 1.0):
        return None
    by = _scored_at(e.view, temperature or 0.0) or _by_draws(e)
    return {"sampling_temperature": temperature, "scored_at_it_by": by} if by else None


def _truncation(e: Evidence) -> Record | None:
    view, kept = e.view, e.view.facts.get("kept")
    if kept is not None:
        return None
    limits: Record = {}
    for name, harmless in (("top_p", lambda v: v >= 1.0), ("top_k", lambda v: v <= 0), ("min_p", lambda v: v <= 0.0)):
        value = _said(view, name, (name,))
        if value is not None and np.isfinite(value) and not harmless(value):
            limits[name] = value
    return limits or None


RECORDED_TEMPERATURE = FindingRule(
    "recorded_temperature",
    "error",
    "draws were made at that temperature and nothing says that both models were scored at it: many engines log "
    "log-probabilities at 1; score log_softmax(logits/temperature) for both and say --fact logprobs=processed, or draw "
    "at 1",
    Explanation(
        "The importance weight needs the draft's log-probability under the law that was sampled, and the base's at the "
        "temperature that defines the base: a recorded temperature other than 1 with raw log-probabilities voids both.",
        "sampling_temperature 0.7 in every row, log-probabilities of T = 1: likely draws weigh too little",
        "vLLM: logprobs_mode=processed_logprobs (raw is the default; prompt_logprobs are always raw); SGLang: output "
        "log-probs at the temperature, input ones at 1; transformers: output_scores processed, output_logits raw.",
    ),
    _recorded,
)
TEMPERED_LAW = FindingRule(
    "tempered_law",
    "warning",
    "everything said of this log is of the two models at that temperature, not at 1",
    Explanation(
        "Draws and log-probabilities are both of the tempered models, which is a pair like any other: the base that "
        "predictions speak of is the tempered one.",
        "sampling_temperature 0.7, both models scored at 0.7",
        "vLLM: logprobs_mode=processed_logprobs on both sides; SGLang: temperature applied to output log-probs; "
        "transformers: log_softmax(logits / temperature).",
    ),
    _tempered,
)
TRUNCATION = FindingRule(
    "declared_truncation",
    "error",
    "sample with top_p = 1, top_k off and min_p = 0, or log the kept token ids and renormalize over them: what is "
    "never drawn cannot be weighted back",
    Explanation(
        "Truncated sampling never draws unlikely tokens, so the draft's law is not the one that was scored, and what "
        "the base has outside the kept tokens is covered by no draw.",
        "law  .5 .3 .1 .06 .04  at top-p 0.9  .56 .33 .11 0 0",
        "vLLM, SGLang: top_p=1, top_k=-1 (0 in later versions), min_p=0; vLLM mask replay and SGLang "
        "return_sampling_mask return the kept ids; transformers: top_k=0 (its default is 50), top_p=1.0, min_p=None.",
    ),
    _truncation,
)
