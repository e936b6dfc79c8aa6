"""Symptoms of logs as people have them, planted one at a time: what `benches.doctor_symptoms` measures the doctor with.

`LongWorld` draws steps of about a hundred tokens, each of a law of its own, so that nothing is drawn twice; `short_log`
steps of a few, by `TokenWorld`. Columns are as in `pool_faults`; `one_log` is of one model. Every plant takes columns
and a generator; what it returns is the same log with one fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit, log_softmax, logit

from gsi_theory.types import Floats
from tests.plants.pool_faults import Columns, Sampling, TokenWorld, duplicate_rows, exchange_columns

__all__ = ["ONE_MODEL_PLANTS", "PLANTS", "LongWorld", "drafts_only", "one_log", "short_log"]

PLAIN = Sampling()
Plant = Callable[[Columns, np.random.Generator], Columns]


@dataclass(frozen=True)
class LongWorld:
    """prompts of n + n candidates. A token has a law of `outcomes` random ones, the base's logits `sharper` and off by
    `gap`. The first two tokens' laws are the prompt's and the first token's; with the third comes a tag that makes the
    step its own, so that nothing after it is drawn twice."""

    prompts: int = 20
    n: int = 16
    outcomes: int = 12
    spread: float = 1.5
    gap: float = 0.15
    sharper: float = 1.02
    tags: int = 4000
    length: float = 100.0

    def columns(self, seed: int, temperature: float = 1.0, scored: float = 1.0) -> Columns:
        """Draws of both sources at a temperature, scored at another."""
        rng = np.random.default_rng([seed, 31])
        size = 2 * self.prompts * self.n
        lengths = np.clip(np.exp(rng.normal(np.log(self.length) - 0.32, 0.8, size=size)).astype(int), 2, 600)
        is_base = np.tile(np.repeat([False, True], self.n), self.prompts)
        row = np.repeat(np.arange(size), lengths)
        ends = np.cumsum(lengths)[:-1]
        logits = rng.normal(scale=self.spread, size=(row.size, self.outcomes))
        noise = rng.normal(size=logits.shape)
        prompt, first = np.arange(size) // (2 * self.n), np.r_[0, ends]
        shared = rng.normal(size=(2, self.prompts, self.outcomes + 1, self.outcomes))
        token = np.zeros(row.size, dtype=np.int64)
        begun = np.full(size, self.outcomes)
        models: dict[str, Floats] = {}
        for depth in range(3):  # the third round draws all the rest
            at = first + depth if depth < 2 else np.flatnonzero(np.arange(row.size) - first[row] >= 2)
            if depth < 2:
                logits[at], noise[at] = self.spread * shared[0, prompt, begun], shared[1, prompt, begun]
            models = {"draft": logits, "base": self.sharper * logits + self.gap * noise}
            drawn = np.where(is_base[row[at], None], models["base"][at], logits[at]) / temperature
            drawn = log_softmax(drawn, axis=1)
            token[at] = np.argmax(drawn + rng.gumbel(size=drawn.shape), axis=1)
            begun = token[first]
        every, tag = np.arange(row.size), np.zeros(row.size)
        tag[first[lengths > 2] + 2] = np.log(self.tags)  # uniform at any temperature
        logps = {name: log_softmax(z / scored, axis=1)[every, token] - tag for name, z in models.items()}
        # a token with a tag is one of many; what follows it is the row's own
        token = token + self.outcomes * rng.integers(0, self.tags, row.size) * (np.arange(row.size) >= first[row] + 2)
        columns: Columns = {
            "prompt_id": [f"p{k}" for k in np.repeat(np.arange(self.prompts), 2 * self.n)],
            "step": [0] * size,
            "source": np.where(is_base, "base", "draft").tolist(),
            "candidate": np.tile(np.arange(self.n), 2 * self.prompts).tolist(),
        }
        for name, values in logps.items():
            columns[f"logp_{name}"] = np.bincount(row, values).tolist()
        columns["reward"] = expit(rng.normal(size=size) + rng.normal(size=self.prompts).repeat(2 * self.n)).tolist()
        columns["n_tokens"] = lengths.tolist()
        columns["token_ids"] = [part.tolist() for part in np.split(token, ends)]
        for name, values in logps.items():
            columns[f"token_logp_{name}"] = [part.tolist() for part in np.split(values, ends)]
        return columns


def short_log(seed: int, temperature: float = 1.0, draws: int = 24) -> Columns:
    """Steps of a few tokens with repeats, 30 positions of 24 + 24; more draws are of the same world."""
    columns = TokenWorld(30, gap=0.3).columns(seed, draws, Sampling(temperature), Sampling(temperature))
    return {name: values for name, values in columns.items() if name != "finish_reason"}


def drafts_only(columns: Columns) -> Columns:
    """The rows that the draft drew."""
    rows = [k for k, source in enumerate(columns["source"]) if source == "draft"]
    return _taken(columns, rows)


def one_log(seed: int, binary: bool = False) -> Columns:
    """A log of one model: 40 prompts of 16 draws with rewards, lengths, texts."""
    rng = np.random.default_rng([seed, 53])
    prompts, n = 40, 16
    size = prompts * n
    level = rng.normal(size=prompts).repeat(n)
    reward = expit(level + rng.normal(size=size))
    length = np.exp(rng.normal(4.5, 0.5, size=size)).astype(int) + 1
    letters = rng.integers(97, 123, size=(size, 60)).astype(np.uint8)
    return {
        "prompt_id": [f"p{k}" for k in np.repeat(np.arange(prompts), n)],
        "candidate": np.tile(np.arange(n), prompts).tolist(),
        "reward": ((rng.random(size) < reward).astype(float) if binary else reward).tolist(),
        "n_tokens": length.tolist(),
        "text": [bytes(row).decode() for row in letters],
    }


def _taken(columns: Columns, rows: list[int]) -> Columns:
    return {name: [values[r] for r in rows] for name, values in columns.items()}


def _changed(columns: Columns, name: str, change: Callable[[Floats], Floats]) -> Columns:
    return columns | {name: change(np.array(columns[name], dtype=float)).tolist()} if name in columns else columns


def _without_tokens(columns: Columns) -> Columns:
    return {name: values for name, values in columns.items() if not name.startswith("token_logp_")}


def _divided(columns: Columns, rng: np.random.Generator, by: float = 0.7) -> Columns:
    columns = dict(columns)
    for model in ("draft", "base"):
        columns = _changed(columns, f"logp_{model}", lambda v: v / by)
        name = f"token_logp_{model}"
        if name in columns:
            columns[name] = [[x / by for x in row] for row in columns[name]]
    return columns


def _some(columns: Columns, rng: np.random.Generator, share: float) -> np.ndarray:
    chosen = rng.random(len(columns["prompt_id"])) < share
    chosen[rng.integers(chosen.size)] = True
    return chosen


def _padded_base(columns: Columns, rng: np.random.Generator) -> Columns:
    chosen = _some(columns, rng, 0.1)
    columns = _changed(columns, "logp_base", lambda v: np.where(chosen, 0.0, v))
    if "token_logp_base" in columns:
        lists = zip(columns["token_logp_base"], chosen, strict=True)
        columns = columns | {"token_logp_base": [[0.0] * len(row) if c else row for row, c in lists]}
    return columns


def _hundreds(columns: Columns, rng: np.random.Generator) -> Columns:
    """Labels' padding taken for log-probabilities."""
    chosen = _some(columns, rng, 0.1)
    columns = _changed(columns, "logp_base", lambda v: np.where(chosen, -100.0, v))
    if "token_logp_base" in columns:
        lists = zip(columns["token_logp_base"], chosen, strict=True)
        columns = columns | {"token_logp_base": [[-100.0] * len(row) if c else row for row, c in lists]}
    return columns


def _sentinel(model: str, source: str) -> Plant:
    def plant(columns: Columns, rng: np.random.Generator) -> Columns:
        rows = [k for k, s in enumerate(columns["source"]) if s == source]
        at = int(rng.choice(rows))
        columns = _changed(columns, f"logp_{model}", lambda v: np.where(np.arange(v.size) == at, -9999.0, v))
        name = f"token_logp_{model}"
        if name in columns:
            lists = [list(row) for row in columns[name]]
            lists[at][0] = -9999.0
            columns = columns | {name: lists}
            total = sum(lists[at])
            columns = _changed(columns, f"logp_{model}", lambda v: np.where(np.arange(v.size) == at, total, v))
        return columns

    return plant


def _sentinel_in_sum(columns: Columns, rng: np.random.Generator) -> Columns:
    """One token of one base score is the sentinel, and the whole step its sum."""
    at = int(rng.integers(len(columns["prompt_id"])))
    columns = _changed(columns, "logp_base", lambda v: np.where(np.arange(v.size) == at, v - 9999.0, v))
    if "token_logp_base" in columns:
        lists = [list(row) for row in columns["token_logp_base"]]
        lists[at][-1] -= 9999.0
        columns = columns | {"token_logp_base": lists}
    return columns


def _one_sided_end(columns: Columns, rng: np.random.Generator) -> Columns:
    """The base's numbers leave out the last token."""
    last = np.array([row[-1] for row in columns["token_logp_base"]])
    columns = _changed(columns, "logp_base", lambda v: v - last)
    return columns | {"token_logp_base": [row[:-1] for row in columns["token_logp_base"]]}


def _means(columns: Columns, rng: np.random.Generator) -> Columns:
    length = np.array(columns["n_tokens"], dtype=float)
    for model in ("draft", "base"):
        columns = _changed(columns, f"logp_{model}", lambda v: v / length)
    return _without_tokens(columns)


def _weights(columns: Columns, rng: np.random.Generator) -> Columns:
    """Log-weights of a particle filter in both columns."""
    weight = np.minimum(-rng.exponential(1.0, size=len(columns["prompt_id"])), 0.0).tolist()
    return _without_tokens(columns | {"logp_draft": weight, "logp_base": weight})


def _again(columns: Columns, rng: np.random.Generator) -> Columns:
    """Every third prompt's rows once more under another name."""
    names = sorted(set(columns["prompt_id"]))[::3]
    rows = [k for k, name in enumerate(columns["prompt_id"]) if name in names]
    more = _taken(columns, rows)
    more["prompt_id"] = [f"{name}_again" for name in more["prompt_id"]]
    return {name: values + more[name] for name, values in columns.items()}


def _workers(columns: Columns, rng: np.random.Generator) -> Columns:
    """Two workers of one seed: every set twice, candidates numbered on."""
    rows = len(columns["prompt_id"])
    named: Columns = {"source": ["one"] * rows, "step": [0] * rows}
    return duplicate_rows(named | columns, 1.0, True)


def _filters(columns: Columns, rng: np.random.Generator) -> Columns:
    """Each document once for every filter: the same texts, graded twice."""
    more = dict(columns)
    more["prompt_id"] = [f"{name}/flexible" for name in columns["prompt_id"]]
    more["reward"] = np.where(rng.random(len(columns["reward"])) < 0.2, 1.0, columns["reward"]).tolist()
    strict = columns | {"prompt_id": [f"{name}/strict" for name in columns["prompt_id"]]}
    return {name: values + more[name] for name, values in strict.items()}


def _copied(columns: Columns, rng: np.random.Generator) -> Columns:
    """Base rows are the draft rows; the base's score may be the draft's."""
    drafts = drafts_only(columns)
    base = drafts | {"source": ["base"] * len(drafts["source"])}
    return {name: values + base[name] for name, values in drafts.items()}


def _sorted_by(name: str) -> Plant:
    def plant(columns: Columns, rng: np.random.Generator) -> Columns:
        own = np.array(columns[name], dtype=float)
        if name == "logp_draft":
            own = np.where(np.array(columns["source"]) == "base", columns["logp_base"], own)
        sets = list(zip(columns["prompt_id"], columns.get("step", columns["candidate"]), strict=True))
        keys = [(*a[:1], *(a[1:] if "step" in columns else ()), s) for a, s in
                zip(sets, columns.get("source", [""] * len(sets)), strict=True)]  # fmt: skip
        order = sorted(range(len(keys)), key=lambda k: (str(keys[k]), -own[k]))
        out = _taken(columns, order)
        seen: dict[Any, int] = {}
        numbers = []
        for k in order:
            numbers.append(seen.setdefault(keys[k], 0))
            seen[keys[k]] += 1
        return out | {"candidate": numbers}

    return plant


def _stopped(columns: Columns, rng: np.random.Generator) -> Columns:
    """Drawn in fours until one is right, at most as many as there are."""
    success = (rng.random(len(columns["prompt_id"])) < 0.15).astype(float)
    columns = columns | {"reward": success.tolist()}
    sets: dict[Any, list[int]] = {}
    names = [columns[name] for name in ("prompt_id", "step", "source") if name in columns]
    for k, key in enumerate(zip(*names, strict=True)):
        sets.setdefault(key, []).append(k)
    kept: list[int] = []
    for rows in sets.values():
        end = next((4 * (j // 4 + 1) for j, k in enumerate(rows) if success[k]), len(rows))
        kept += rows[:end]
    return _taken(columns, kept)


def _recorded(columns: Columns, rng: np.random.Generator) -> Columns:
    return columns | {"sampling_temperature": [0.7] * len(columns["prompt_id"])}


def _top_p(columns: Columns, rng: np.random.Generator) -> Columns:
    return columns | {"top_p": [0.95] * len(columns["prompt_id"])}


def _failed(columns: Columns, rng: np.random.Generator) -> Columns:
    return _changed(columns, "reward", lambda v: np.where(_some(columns, rng, 0.1), 0.0, v))


def _all_equal(columns: Columns, rng: np.random.Generator) -> Columns:
    return _changed(columns, "reward", lambda v: np.full(v.size, 0.5))


def _logits(columns: Columns, rng: np.random.Generator) -> Columns:
    return _changed(columns, "reward", lambda v: 2.0 * logit(np.clip(v, 1e-12, 1.0 - 1e-12)) - 1.0)


def _products(columns: Columns, rng: np.random.Generator) -> Columns:
    """Steps of about 8 tokens, each of a score near 0.93, multiplied."""
    steps = np.maximum(np.array(columns["n_tokens"]) // 8, 1)
    return columns | {"reward": [float(np.prod(rng.beta(14.0, 1.0, size=k))) for k in steps]}


def _filled(value: float) -> Plant:
    def plant(columns: Columns, rng: np.random.Generator) -> Columns:
        both = {f"logp_{model}": [value] * len(columns["prompt_id"]) for model in ("draft", "base")}
        return _without_tokens(columns | both)

    return plant


def _equal_columns(columns: Columns, rng: np.random.Generator) -> Columns:
    """Every row under one model, the draft, which drew them all."""
    columns = drafts_only(columns)
    out = columns | {"logp_base": columns["logp_draft"]}
    return out | ({"token_logp_base": columns["token_logp_draft"]} if "token_logp_draft" in columns else {})


def _prompt_counted(columns: Columns, rng: np.random.Generator) -> Columns:
    """Short steps, and the prompt's log-probability, 300 nats or so, in each."""
    names = {name: 260.0 + 80.0 * rng.random() for name in dict.fromkeys(columns["prompt_id"])}
    prompt = np.array([names[name] for name in columns["prompt_id"]])
    for model, factor in (("draft", 1.0), ("base", 1.05)):
        columns = _changed(columns, f"logp_{model}", partial(np.add, -factor * prompt))
    return columns


# symptom -> (ids of which one names it, the plant); those that need another draw are made by the bench
PLANTS: dict[str, tuple[tuple[str, ...], Plant]] = {
    "columns exchanged": (("exchanged_columns",), lambda c, rng: exchange_columns(c)),
    "log-probs divided by 0.7": (("temperature_mismatch", "context_mismatch"), _divided),
    "a tenth of logp_base 0.0": (("sentinel_log_probs",), _padded_base),
    "a tenth of logp_base -100": (("sentinel_log_probs",), _hundreds),
    "-9999, own row": (("sentinel_log_probs",), _sentinel("draft", "draft")),
    "-9999, base of a draft": (("sentinel_log_probs",), _sentinel("base", "draft")),
    "-9999 in a sum": (("sentinel_log_probs",), _sentinel_in_sum),
    "end of one side": (("end_of_sequence",), _one_sided_end),
    "means for sums": (("log_prob_length", "mass_above_one"), _means),
    "particle weights": (("log_prob_length", "mass_above_one", "one_model"), _weights),
    "prompt counted": (("whole_response",), _prompt_counted),
    "same rows, two prompts": (("shared_rows",), _again),
    "workers of one seed": (("duplicates",), _workers),
    "base copies draft": (("copied_sources",), _copied),
    "sorted by log-prob": (("sorted_candidates",), _sorted_by("logp_draft")),
    "stopped at success": (("stopped_at_success",), _stopped),
    "temperature recorded": (("recorded_temperature", "tempered_law"), _recorded),
    "top-p recorded": (("declared_truncation",), _top_p),
    "failed rewards 0.0": (("failed_rewards",), _failed),
    "rewards all equal": (("equal_rewards",), _all_equal),
    "logits as rewards": (("logit_rewards",), _logits),
    "products of scores": (("short_favored",), _products),
    "0.0 in both columns": (("one_model",), _filled(0.0)),
    "-100 in both columns": (("one_model",), _filled(-100.0)),
    "equal columns": (("one_model",), _equal_columns),
}
ONE_MODEL_PLANTS: dict[str, tuple[tuple[str, ...], Plant]] = {
    "same rows, two prompts": (("shared_rows",), _again),
    "a document a filter": (("shared_rows",), _filters),
    "workers of one seed": (("duplicates",), _workers),
    "sorted by reward": (("sorted_candidates",), _sorted_by("reward")),
    "stopped at success": (("stopped_at_success",), _stopped),
    "failed rewards 0.0": (("failed_rewards",), _failed),
    "rewards all equal": (("equal_rewards",), _all_equal),
    "logits as rewards": (("logit_rewards",), _logits),
    "products of scores": (("short_favored",), _products),
}
