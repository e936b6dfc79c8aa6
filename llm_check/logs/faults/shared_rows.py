"""Finding `shared_rows`: the same draws stand under two prompts, so they are counted twice."""

from __future__ import annotations

import numpy as np

from gsi_theory.types import Flags, Ints, Record
from llm_check.logs.pools.finding import Explanation, LogRule
from llm_check.logs.pools.log_view import LogView
from llm_check.logs.pools.position_arrays import dense_codes, pair_codes

__all__ = ["SHARED_ROWS"]

LEAST_SHARE = 0.9  # of the draws of a prompt that tell it from others
LEAST_NATS = 14.0  # of surprise, of all shared draws of a prompt: below one in a million
LEAST_SIZE = 100  # characters or tokens in all, where nothing else tells


def _seen_elsewhere(prompt: Ints, code: Ints) -> Flags:
    """Rows whose code some other prompt has too."""
    pair = np.unique(np.stack([code, prompt], axis=1), axis=0)
    prompts = np.bincount(pair[:, 0], minlength=int(code.max()) + 1)
    return np.asarray(prompts[code] >= 2)


def _shared(view: LogView) -> Record | None:
    code, what, telling = view.drawn
    arrays, own = view.arrays, view.own_log_prob
    numbered = own is not None and np.unique(own).size > 0.5 * min(own.size, np.unique(code).size)
    if numbered:  # their own probability says whether they come twice
        telling = np.ones(code.size, dtype=bool)
    if view.counted or not telling.any():
        return None
    if what in ("token_ids", "text"):
        # a text alone comes again at other prompts; with its log-probability, or in the same place, hardly ever
        beside = own.view(np.int64) if numbered and own is not None else arrays.floats("candidate").astype(np.int64)
        code = pair_codes(code, beside)
    elif not _fine(view):
        return None
    code = pair_codes(code, dense_codes(2 * np.array([s for _, s in arrays.names])[arrays.position] + arrays.is_base))
    rows = np.flatnonzero(telling)
    prompt = view.prompt[rows]
    again = _seen_elsewhere(prompt, code[rows])
    prompts = int(view.prompt.max()) + 1
    shared, drawn, every = (np.bincount(p, minlength=prompts) for p in (prompt[again], prompt, view.prompt))
    first = np.unique(pair_codes(prompt, code[rows]), return_index=True)[1]
    first = first[again[first]]
    distinct = np.bincount(prompt[first], minlength=prompts)
    copied = (shared >= LEAST_SHARE * drawn) & (drawn >= 0.5 * every) & (drawn > 0)
    if numbered and own is not None:
        nats = np.bincount(prompt[first], weights=-np.nan_to_num(own[rows][first]), minlength=prompts)
        copied &= nats > LEAST_NATS
    elif what in ("token_ids", "text"):
        copied &= (np.bincount(prompt[first], weights=_sizes(view)[rows][first], minlength=prompts) >= LEAST_SIZE) & (
            (distinct >= 2) | (every == 1)
        )
    else:
        copied &= distinct >= 3
    found = np.flatnonzero(copied)
    if found.size < 2:
        return None
    names = list(dict.fromkeys(name for name, _ in arrays.names))
    where = np.flatnonzero((prompt == found[0]) & again)[0]
    twin = prompt[(code[rows] == code[rows][where]) & (prompt != found[0])][0]
    pair = [names[found[0]], names[int(twin)]]
    return {"prompts_with_a_twin": int(found.size), "prompts": prompts, "pair": pair, "equal_by": what}


def _fine(view: LogView) -> bool:
    """Whether some column of numbers has more digits than a grid of hundredths: only those are fingerprints."""
    for name in ("logp_draft", "logp_base", "reward"):
        values = view.values(name)
        if values is not None:
            finite = values[np.isfinite(values)]
            if finite.size and np.mean(np.abs(finite * 100.0 - np.round(finite * 100.0)) > 1e-6) > 0.5:
                return True
    return False


def _sizes(view: LogView) -> Ints:
    lists = view.arrays.lists("token_ids")
    if lists is not None:
        return lists.lengths
    return np.array([len(text or "") for text in view.arrays.column("text").to_pylist()], dtype=np.int64)


SHARED_ROWS = LogRule(
    "shared_rows",
    "error",
    "the same draws stand under several prompts and are counted for each: keep one of them; seed workers apart; of "
    "lm-eval samples keep one filter",
    Explanation(
        "Files were joined twice, workers shared a default seed, or a harness wrote each document once for every "
        "filter. Errors of means come out too small, as if there were more prompts.",
        "p0: -374.2 -141.8 -96.1      p0_again: -374.2 -141.8 -96.1",
        "vLLM: seed of each worker or request (with n > 1 children use seed + index: space them by n); SGLang: "
        "random_seed of each server; transformers: set_seed by rank; lm-eval: one row a doc and filter in samples "
        "files.",
    ),
    _shared,
)
