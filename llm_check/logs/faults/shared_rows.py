"""Finding `shared_rows`: the same draws stand under two prompts, so they are counted twice."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from gsi_theory.types import Floats, Ints, Record
from llm_check.logs.pools.finding import Explanation, LogRule
from llm_check.logs.pools.log_view import LogView
from llm_check.logs.pools.position_arrays import dense_codes, pair_codes

__all__ = ["SHARED_ROWS"]

LEAST_SHARE = 0.9  # of the draws of a prompt that tell it from others
LEAST_NATS = 14.0  # of surprise, of all shared draws of a prompt: below one in a million
MOST_TWINS = 1000  # prompts that hold one draw: more are of one law
LEAST_SIZE = 100  # characters or tokens in all, where nothing else tells


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
    pair, first = np.unique(np.stack([view.prompt[rows], code[rows]], axis=1), axis=0, return_index=True)
    worth = _worth(view, rows[first], own if numbered else None, what)
    every = np.bincount(view.prompt)
    twins = _twins(pair[:, 0], pair[:, 1], worth, every)
    if not twins:
        return None
    names = list(dict.fromkeys(name for name, _ in arrays.names))
    a, b = next(iter(twins.items()))
    found = len({*twins.keys(), *twins.values()})
    return {"prompts_with_a_twin": found, "prompts": every.size, "pair": [names[a], names[b]], "equal_by": what}


def _worth(view: LogView, rows: Ints, own: Floats | None, what: str) -> Floats:
    """Nats by which a draw of each row tells that another set of as many draws holds it by no chance: −log(N p), p its
    probability; of numbers without one, p the rate at which draws of a prompt agree, at most; of texts their size."""
    draws = np.bincount(view.prompt)[view.prompt[rows]].astype(np.float64)
    if own is not None:
        return np.maximum(-own[rows] - np.log(draws), 0.0)
    if what in ("token_ids", "text"):
        return np.asarray(_sizes(view)[rows] * (LEAST_NATS / LEAST_SIZE), dtype=np.float64)
    size = np.bincount(view.prompt)
    pairs = float((size * (size - 1)).sum()) / 2.0
    equal = np.bincount(pair_codes(view.prompt, view.drawn[0]))
    rate = (float((equal * (equal - 1)).sum()) / 2.0 + 3.0) / max(pairs, 1.0)
    return np.maximum(-np.log(np.minimum(rate * draws, 1.0)), 0.0)


def _twins(prompt: Ints, code: Ints, worth: Floats, every: Ints) -> dict[int, int]:
    """prompt -> another prompt that holds nearly all of its draws, by no chance; (prompt, code) are distinct pairs."""
    held = np.bincount(code)
    use = (held[code] >= 2) & (held[code] <= MOST_TWINS)
    if not use.any():
        return {}
    size = (every.size, int(code.max()) + 1)
    holds = csr_array((np.ones(int(use.sum())), (prompt[use], code[use])), shape=size)
    weight = csr_array((worth[use], (prompt[use], code[use])), shape=size)
    common, nats = (holds @ holds.T).tocoo(), (weight @ holds.T).tocsr()
    distinct = np.bincount(prompt, minlength=every.size)
    twins: dict[int, int] = {}
    near = (common.row != common.col) & (common.data >= LEAST_SHARE * distinct[common.row])
    for a, b in zip(common.row[near].tolist(), common.col[near].tolist(), strict=True):
        several = distinct[a] >= 2 or every[a] == 1
        if a not in twins and several and nats[a, b] > LEAST_NATS:
            twins[a] = b
    return twins


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
