"""Faults planted in pools on purpose, and pools to plant them in: what `benches.doctor` measures the doctor with.

A `PoolMaker` gives the columns of a pool of known origin. `TokenWorld` is a synthetic one in NumPy: tokens follow a
second-order Markov chain of random logits with an offset per position, for both models. `Sampling` says how candidates
are drawn; what is logged is always the law at temperature 1 without truncation, so anything else is a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, log_softmax

from gsi_theory.types import Floats, Ints

__all__ = [
    "Sampling",
    "TokenWorld",
    "add_noise",
    "add_reward_noise",
    "cut_steps",
    "drop_texts",
    "drop_tokens",
    "duplicate_rows",
    "exchange_columns",
    "restrict",
    "round_numbers",
    "score_whole",
]

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Sampling:
    """How candidates are drawn: temperature, and the mass top-p keeps."""

    temperature: float = 1.0
    top_p: float = 1.0


def restrict(log_probs: Floats, sampling: Sampling) -> Floats:
    """Log-probabilities (..., V) that are sampled from when the model's are `log_probs` (top-p after temperature)."""
    tempered = log_softmax(log_probs / sampling.temperature, axis=-1)
    if sampling.top_p >= 1.0:
        return np.asarray(tempered)
    order = np.argsort(-tempered, axis=-1, kind="stable")
    ordered = np.take_along_axis(np.exp(tempered), order, axis=-1)
    dropped = np.cumsum(ordered, axis=-1) - ordered >= sampling.top_p
    cut = np.empty(dropped.shape, dtype=bool)
    np.put_along_axis(cut, order, dropped, axis=-1)
    return np.asarray(log_softmax(np.where(cut, -np.inf, tempered), axis=-1))


@dataclass(frozen=True)
class TokenWorld:
    """Random Markov models of V tokens, token 0 ends a step; spread of the logits, gap between the two models."""

    positions: int = 50
    vocabulary: int = 24
    longest: int = 40
    spread: float = 2.0
    gap: float = 0.4

    def columns(self, seed: int, n: int, draft: Sampling, base: Sampling, shifted: str = "", steps: int = 2) -> Columns:
        """A pool of n + n candidates a position. shifted: "" or whose log_probs are scored at the next position:
        "drafts" (the base's, of the draft's rows) or "all" (the base's, of all rows); "near": the base's, of all rows,
        after a prompt that changes its logits by 0.3."""
        rng = np.random.default_rng([seed, 77])
        tables = {name: self._tables(rng, self.spread) for name in ("common", "base")}
        gap = self.gap / self.spread
        models = {
            "draft": tables["common"],
            "base": tuple(a + gap * b for a, b in zip(tables["common"], tables["base"], strict=True)),
        }
        found: Columns = {}
        taste = rng.normal(size=self.vocabulary)
        for source, sampling in (("draft", draft), ("base", base)):
            place = np.repeat(np.arange(self.positions), n)
            tokens = self._sample(rng, models[source], place, sampling)
            logps = {name: self._score(models[name], place, tokens) for name in models}
            if shifted == "all" or (shifted == "drafts" and source == "draft"):
                logps["base"] = self._score(models["base"], (place + 1) % self.positions, tokens)
            if shifted == "near":
                apart = self._tables(np.random.default_rng([seed, 99]), 0.3)
                near = tuple(a + b for a, b in zip(models["base"], apart, strict=True))
                logps["base"] = self._score(near, place, tokens)
            for key, values in self._rows(place, source, n, steps, tokens, logps, taste).items():
                found.setdefault(key, []).extend(values)
        return found

    def _tables(self, rng: np.random.Generator, spread: float) -> tuple[Floats, Floats, Floats]:
        v = self.vocabulary
        shapes = ((self.positions, v), (v + 1, v), (v + 1, v))
        place, last, before = (rng.normal(scale=spread / np.sqrt(3.0), size=shape) for shape in shapes)
        return place, last, before

    def _logits(self, model: Any, place: Ints, tokens: Ints, depth: int) -> Floats:
        start = np.full(place.size, self.vocabulary)
        last = tokens[:, depth - 1] if depth > 0 else start
        before = tokens[:, depth - 2] if depth > 1 else start
        table, one, two = model
        # ends become likelier with depth, so that hardly any step meets the cap
        end = np.zeros(self.vocabulary)
        end[0] = 0.4 * depth
        logits: Floats = table[place] + one[last] + two[before] + end
        return np.asarray(log_softmax(logits, axis=1))

    def _sample(self, rng: np.random.Generator, model: Any, place: Ints, sampling: Sampling) -> Ints:
        tokens = np.full((place.size, self.longest), -1, dtype=np.int64)
        live = np.arange(place.size)
        for depth in range(self.longest):
            law = np.exp(restrict(self._logits(model, place[live], tokens[live], depth), sampling))
            u = rng.random((live.size, 1)) * law.sum(axis=1, keepdims=True)
            drawn = np.minimum((np.cumsum(law, axis=1) <= u).sum(axis=1), self.vocabulary - 1)
            tokens[live, depth] = drawn
            live = live[drawn != 0]
        return tokens

    def _score(self, model: Any, place: Ints, tokens: Ints) -> Floats:
        found = np.zeros(tokens.shape)
        for depth in range(self.longest):
            live = np.flatnonzero(tokens[:, depth] >= 0)
            laws = self._logits(model, place[live], tokens[live], depth)
            found[live, depth] = laws[np.arange(live.size), tokens[live, depth]]
        return found

    def _rows(
        self, place: Ints, source: str, n: int, steps: int, tokens: Ints, logps: Mapping[str, Floats], taste: Floats
    ) -> Columns:
        lengths = (tokens >= 0).sum(axis=1)
        ids = [row[:k] for row, k in zip(tokens.tolist(), lengths.tolist(), strict=True)]
        lists = {
            name: [row[:k] for row, k in zip(v.tolist(), lengths.tolist(), strict=True)] for name, v in logps.items()
        }
        closed = tokens[np.arange(place.size), lengths - 1] == 0
        taste_sum = np.where(tokens >= 0, taste[np.maximum(tokens, 0)], 0.0).sum(axis=1)
        return {
            "prompt_id": [f"p{k // steps}" for k in place.tolist()],
            "step": (place % steps).tolist(),
            "source": [source] * place.size,
            "candidate": np.tile(np.arange(n), self.positions).tolist(),
            "logp_draft": logps["draft"].sum(axis=1).tolist(),
            "logp_base": logps["base"].sum(axis=1).tolist(),
            "reward": expit(taste_sum).tolist(),
            "n_tokens": lengths.tolist(),
            "finish_reason": np.where(closed, "stop", "length").tolist(),
            "text": ["".join(chr(97 + token) for token in row) for row in ids],
            "token_ids": ids,
            "token_logp_draft": lists["draft"],
            "token_logp_base": lists["base"],
        }


def exchange_columns(columns: Columns) -> Columns:
    """Each model's log-probabilities under the other's name."""
    names = ("logp_draft", "logp_base"), ("token_logp_draft", "token_logp_base")
    return columns | {a: columns[b] for pair in names for a, b in (pair, pair[::-1]) if b in columns}


def cut_steps(columns: Columns, tokens: int) -> Columns:
    """The first tokens of every step with the log-probabilities of the whole of it, as whole numbers."""
    cut = {"token_ids": [ids[:tokens] for ids in columns["token_ids"]], "text": [t[:tokens] for t in columns["text"]]}
    kept = {k: v for k, v in columns.items() if not k.startswith("token_logp_")}
    return kept | cut | {"n_tokens": [len(ids) for ids in cut["token_ids"]]}


def drop_tokens(columns: Columns) -> Columns:
    """The same pool as an engine writes it that logs whole steps only."""
    return {k: v for k, v in columns.items() if not k.startswith("token_")}


def drop_texts(columns: Columns) -> Columns:
    """The same pool with nothing that tells which steps are equal: whole steps as numbers only."""
    return {k: v for k, v in drop_tokens(columns).items() if k != "text"}


def score_whole(columns: Columns, prefix: Callable[[str, int, str], list[float]], models: tuple[str, ...]) -> Columns:
    """Log-probabilities of the whole response so far in place of the step's: `prefix(prompt_id, step, model)` are the
    token log-probabilities of what comes before."""
    found = dict(columns)
    keys = list(zip(columns["prompt_id"], columns["step"], strict=True))
    for model in models:
        before = {key: prefix(*key, model) for key in dict.fromkeys(keys)}
        lists = columns[f"token_logp_{model}"]
        found[f"token_logp_{model}"] = [before[k] + list(own) for k, own in zip(keys, lists, strict=True)]
        whole = columns[f"logp_{model}"]
        found[f"logp_{model}"] = [w + sum(before[k]) for k, w in zip(keys, whole, strict=True)]
    return found


def _map_numbers(columns: Columns, change: Callable[[Floats], Floats]) -> Columns:
    """Token log-probabilities changed, and the sums that belong to them."""
    found = dict(columns)
    for model in ("draft", "base"):
        lists = columns[f"token_logp_{model}"]
        lengths = [len(row) for row in lists]
        flat = change(np.array([value for row in lists for value in row]))
        ends = np.cumsum(lengths)
        rows = [part.tolist() for part in np.split(flat, ends[:-1])]
        found[f"token_logp_{model}"] = rows
        found[f"logp_{model}"] = [float(sum(row)) for row in rows]
    return found


def round_numbers(columns: Columns, dtype: str) -> Columns:
    """Token log-probabilities stored as float16 (their sums formed in float16 too) or bfloat16."""
    if dtype == "float16":
        found = _map_numbers(columns, lambda v: v.astype(np.float16).astype(np.float64))
        for model in ("draft", "base"):
            found[f"logp_{model}"] = [float(np.float16(v)) for v in found[f"logp_{model}"]]
        return found

    def cut(values: Floats) -> Floats:
        bits = values.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
        return bits.view(np.float32).astype(np.float64)

    return _map_numbers(columns, cut)


def add_reward_noise(columns: Columns, seed: int, sd: float) -> Columns:
    """Rewards with independent normal noise on each row, as a reward model with dropout gives."""
    reward = np.array(columns["reward"])
    return columns | {"reward": (reward + np.random.default_rng([seed, 5]).normal(scale=sd, size=reward.size)).tolist()}


def add_noise(columns: Columns, seed: int, sd: float) -> Columns:
    """Independent normal noise on each token's logit, as half precision gives; log p moves by 1 - p of it."""
    rng = np.random.default_rng([seed, 5])
    return _map_numbers(columns, lambda v: np.minimum(v - np.expm1(v) * sd * rng.normal(size=v.size), 0.0))


def duplicate_rows(columns: Columns, share: float, block: bool) -> Columns:
    """The first `share` of each set's candidates once more, after the others (block) or each right after itself."""
    keys = list(zip(columns["prompt_id"], columns["step"], columns["source"], strict=True))
    groups: dict[Any, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    order: list[int] = []
    candidate: list[int] = []
    for rows in groups.values():
        count = max(1, int(share * len(rows)))
        again = rows + rows[:count] if block else [r for i, r in enumerate(rows) for r in [r] * (2 if i < count else 1)]
        order.extend(again)
        candidate.extend(range(len(again)))
    found = {name: [values[r] for r in order] for name, values in columns.items()}
    return found | {"candidate": candidate}
