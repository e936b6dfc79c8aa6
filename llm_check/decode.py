"""Whole solutions by stepwise selection, and fresh runs of one step: Guided Speculative Inference on real models.

One step (Algorithm 1 of the paper): draw n candidates from the proposing model, weight them, select the winner, and,
under a gate, accept it or draw n_base candidates from the base and select among those with weights βr.

    log-weights     "tilted" βr + ℓ (draft candidates);  "reward" βr;  nats
    selection       argmax of log-weight − log T (M2): softmax T ~ Exp(1), race T ~ Uniform(0,1), max T constant
    gate            "tilted_reward" accept when r̃ = r + ℓ/β of the winner ≥ threshold (M6);
                    "score" accept when max_i (r̃_i + E_i/β) ≥ threshold, E_i ~ Exp(1), rule race (M9)

Shapes: B runs or problems at once, n candidates each, T tokens. Noise is an array of uniforms, so the same
numbers serve every rule and n: settings are compared on common random numbers, and the first n candidates of a run of
n_max are its run of n. `acceptance` is always what was measured here, never the exact p_accept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsi_theory import Scheme
from gsi_theory.errors import InputError
from llm_check.collect import Drawn, Policies, draw_candidates
from llm_check.engines.contract import Engine
from llm_check.positions import Position, Prompt, encode_text
from llm_check.rewards.contract import RewardModel
from llm_check.steps import StepRule
from llm_check.streams import Purpose
from llm_check.tasks import arithmetic

__all__ = ["METHODS", "DecodeResult", "Method", "StepMeasurement", "decode", "measure_step", "run_step"]

_DRAWS = {"draft": Purpose.DRAFT, "base": Purpose.BASE}
_NOISE = {"draft": Purpose.SELECT_DRAFT, "base": Purpose.SELECT_BASE}


@dataclass(frozen=True)
class Method:
    """A stepwise method: `proposer` "draft" or "base", `weight` "none" (one candidate), "reward" or "tilted",
    the selection `rule`, and the `gate` ("tilted_reward", "score", or None), which falls back to the base."""

    proposer: str
    weight: str
    rule: str = "softmax"
    gate: str | None = None

    def scheme(self, beta: float, n: int, threshold: float | None) -> Scheme:
        """This method at (beta, n, threshold): n is 1 without weights, and only a gate reads the threshold."""
        used = 1 if self.weight == "none" else n
        return Scheme(beta, used, threshold if self.gate else None, self.rule, gate=self.gate or "tilted_reward")


METHODS: dict[str, Method] = {
    "draft": Method("draft", "none"),
    "base": Method("base", "none"),
    "soft_bon_draft": Method("draft", "reward"),
    "soft_bon_base": Method("base", "reward"),
    "gsi": Method("draft", "tilted", gate="tilted_reward"),
    "gsi_race": Method("draft", "tilted", "race", gate="tilted_reward"),
    "gsi_race_score": Method("draft", "tilted", "race", gate="score"),
}


@dataclass(frozen=True)
class _Weighted:
    """What selection needs of B sets of n candidates: `reward` and `log_ratio` (B, n); log-ratio 0 where unused."""

    reward: NDArray[np.float64]
    log_ratio: NDArray[np.float64]

    def first(self, n: int) -> _Weighted:
        return _Weighted(self.reward[:, :n], self.log_ratio[:, :n])

    def tilted_reward(self, beta: float) -> NDArray[np.float64]:
        """r̃ = r + ℓ/β (M1); at β = 0 its limit, r where ℓ = 0 and ±inf elsewhere."""
        if beta > 0:
            return self.reward + self.log_ratio / beta
        return np.where(self.log_ratio == 0, self.reward, np.copysign(np.inf, self.log_ratio))


def _winners(
    weighted: _Weighted, scheme: Scheme, uniforms: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Index (B,) of the winner and its score in nats: argmax of log-weight − log T over the candidates (M2)."""
    score = scheme.beta * weighted.reward + weighted.log_ratio
    if scheme.rule != "max":
        # 1 - u is in (0, 1]; the floor keeps the noise finite where it is exactly 1.
        exponential = np.maximum(-np.log1p(-uniforms), np.finfo(np.float64).tiny)
        score = score + (exponential if scheme.rule == "race" else -np.log(exponential))
    winner = score.argmax(axis=1)
    return winner, np.take_along_axis(score, winner[:, None], axis=1)[:, 0]


def _gate(
    weighted: _Weighted, scheme: Scheme, winner: NDArray[np.int64], score: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Whether each run accepts, and the value it judges, in reward units: the winner's r̃ (M6), or score/β (M9)."""
    assert scheme.threshold is not None
    if scheme.gate == "score":
        finite = np.isfinite(scheme.threshold)
        value = score / scheme.beta if scheme.beta > 0 else np.full_like(score, np.nan)
        return score >= (scheme.beta * scheme.threshold if finite else scheme.threshold), value
    value = np.take_along_axis(weighted.tilted_reward(scheme.beta), winner[:, None], axis=1)[:, 0]
    return value >= scheme.threshold, value


@dataclass(frozen=True)
class StepOutcome:
    """One step of B runs: `tokens` (B, T), `finish`, `reward` of the selected step, `accepted`, `gate_value` (NaN
    without a gate), and the tokens each model drew and scored, (B,) each, as if nothing were shared."""

    tokens: NDArray[np.int32]
    finish: NDArray[np.str_]
    reward: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    gate_value: NDArray[np.float64]
    draft_drawn: NDArray[np.int64]
    base_drawn: NDArray[np.int64]
    base_scored: NDArray[np.int64]
    reward_scored: NDArray[np.int64]


def _weighted(drawn: Drawn, source: str, weight: str) -> _Weighted:
    if weight != "tilted":
        return _Weighted(drawn.reward, np.zeros_like(drawn.reward))
    assert drawn.logp_other is not None
    ratio = drawn.logp_other - drawn.steps.logp
    return _Weighted(drawn.reward, ratio if source == "draft" else -ratio)


def run_step(
    method: Method,
    scheme: Scheme,
    policies: Policies,
    caches: dict[str, Any],
    places: Sequence[Position],
    rule: StepRule,
    seed: int,
) -> StepOutcome:
    """Algorithm 1 for one step of B independent runs: run b is at `places[b]`.

    `caches` holds the encoded prefixes under "draft" and "base", as far as the method uses them. Rejected runs, and
    only they, draw scheme.base_draws candidates from the base and select with weights βr under the same rule.
    """
    other = caches["base"] if method.weight == "tilted" else None
    streams = [place.stream(seed, _DRAWS[method.proposer]) for place in places]
    pair = caches[method.proposer], other
    drawn = draw_candidates(policies, method.proposer, pair, places, scheme.n, streams, rule)
    weighted = _weighted(drawn, method.proposer, method.weight)
    winner, score = _winners(weighted, scheme, _noise(places, scheme.n, seed, method.proposer))
    outcome = _outcome(drawn, winner, method)
    if scheme.threshold is None:
        return outcome
    accepted, value = _gate(weighted, scheme, winner, score)
    outcome = replace(outcome, gate_value=value, accepted=accepted)
    rejected = np.flatnonzero(~accepted).tolist()
    if not rejected:
        return outcome
    where = [places[b] for b in rejected]
    streams = [place.stream(seed, Purpose.BASE) for place in where]
    cache = policies.base.select(caches["base"], rejected)
    fallback = draw_candidates(policies, "base", (cache, None), where, scheme.base_draws, streams, rule)
    noise = _noise(where, scheme.base_draws, seed, "base")
    winner, _ = _winners(_weighted(fallback, "base", "reward"), scheme, noise)
    return _with_fallback(outcome, rejected, _outcome(fallback, winner, METHODS["soft_bon_base"]))


def _noise(places: Sequence[Position], n: int, seed: int, source: str) -> NDArray[np.float64]:
    return np.stack([place.stream(seed, _NOISE[source]).generator().random(n) for place in places])


def _outcome(drawn: Drawn, winner: NDArray[np.int64], method: Method) -> StepOutcome:
    runs, total = np.arange(len(winner)), drawn.steps.lengths.sum(axis=1)
    none = np.zeros_like(total)
    return StepOutcome(
        tokens=drawn.steps.tokens[runs, winner],
        finish=drawn.steps.finish[runs, winner],
        reward=drawn.reward[runs, winner],
        accepted=np.ones(len(winner), dtype=bool),
        gate_value=np.full(len(winner), np.nan),
        draft_drawn=total if method.proposer == "draft" else none,
        base_drawn=total if method.proposer == "base" else none,
        base_scored=total if method.weight == "tilted" else none,
        reward_scored=total if method.weight != "none" else none,
    )


def _with_fallback(outcome: StepOutcome, rejected: list[int], fallback: StepOutcome) -> StepOutcome:
    """`outcome` with the rejected runs' steps replaced by the fallback's and its tokens added to the costs."""
    changed: dict[str, NDArray[Any]] = {}
    for name in ("tokens", "finish", "reward"):
        changed[name] = getattr(outcome, name).copy()
        changed[name][rejected] = getattr(fallback, name)
    for name in ("base_drawn", "reward_scored"):
        changed[name] = getattr(outcome, name).copy()
        changed[name][rejected] += getattr(fallback, name)
    return replace(outcome, **changed)


@dataclass(frozen=True)
class DecodeResult:
    """B decoded solutions: `text`, `step_ids` [problem][step][token], `correct` (B,), `finished` (B,) (eos seen), and
    `records`, one row per step taken: problem (index), step, and the columns of `StepOutcome` but tokens."""

    method: str
    scheme: Scheme
    problem_ids: tuple[str, ...]
    text: tuple[str, ...]
    step_ids: tuple[tuple[tuple[int, ...], ...], ...]
    correct: NDArray[np.bool_]
    finished: NDArray[np.bool_]
    records: dict[str, NDArray[Any]]

    @property
    def acceptance_rate(self) -> float | None:
        """Share of steps accepted, or None where there is no gate."""
        return None if self.scheme.threshold is None else float(self.records["accepted"].mean())


_RECORDED = ("finish", "reward", "accepted", "gate_value", "draft_drawn", "base_drawn", "base_scored", "reward_scored")


def decode(
    method: str,
    draft: Engine,
    base: Engine,
    reward_model: RewardModel,
    problems: Sequence[Any],
    beta: float,
    n: int,
    threshold: float | None,
    rule: StepRule,
    seed: int,
    max_steps: int = arithmetic.MAX_STEPS,
    is_correct: Callable[[Any, str], bool] = arithmetic.is_correct,
) -> DecodeResult:
    """Solve `problems` (with .problem_id and .prompt) step by step, all at once, until eos or `max_steps` steps.

    Equal seeds give equal solutions, whatever is decoded beside them. Raises InputError for an unknown method, no
    problems, or the values `Scheme` refuses.
    """
    if method not in METHODS:
        raise InputError(f"method {method!r}: use one of {', '.join(METHODS)}")
    if not problems:
        raise InputError("decode got no problems: give at least one")
    chosen = METHODS[method]
    scheme = chosen.scheme(beta, n, threshold)
    policies = Policies(draft, base, reward_model)
    at = [Position(Prompt(p.problem_id, encode_text(draft.tokenizer, p.prompt), p)) for p in problems]
    used = [name for name in ("draft", "base") if name == chosen.proposer or chosen.weight == "tilted"]
    caches = {name: policies.engine(name).prefill([place.prefix for place in at]) for name in used}
    finished = np.zeros(len(problems), dtype=bool)
    live = list(range(len(problems)))
    rows: list[dict[str, NDArray[Any]]] = []
    for step in range(max_steps):
        outcome = run_step(chosen, scheme, policies, caches, [at[p] for p in live], rule, seed)
        numbers = {"problem": np.array(live), "step": np.full(len(live), step)}
        rows.append(numbers | {key: getattr(outcome, key) for key in _RECORDED})
        for p, tokens in zip(live, outcome.tokens.tolist(), strict=True):
            at[p] = at[p].after(tuple(token for token in tokens if token >= 0))
        finished[live] = outcome.finish == "eos"
        goes_on = np.flatnonzero(~finished[live])
        live = [live[row] for row in goes_on]
        if not live or step + 1 == max_steps:
            break
        added = [at[p].path[-1] for p in live]
        for name in used:
            engine = policies.engine(name)
            caches[name] = engine.extend(engine.select(caches[name], goes_on), added)
    texts = tuple(draft.tokenizer.decode([token for step in place.path for token in step]) for place in at)
    return DecodeResult(
        method=method,
        scheme=scheme,
        problem_ids=tuple(problem.problem_id for problem in problems),
        text=texts,
        step_ids=tuple(place.path for place in at),
        correct=np.array([is_correct(problem, text) for problem, text in zip(problems, texts, strict=True)]),
        finished=finished,
        records={key: np.concatenate([row[key] for row in rows]) for key in rows[0]},
    )


@dataclass(frozen=True)
class StepMeasurement:
    """Fresh runs of one step under S schemes. `steps` (M, T) are the distinct steps seen, `step_reward` (M,) their
    rewards; `selected` (S, runs) indexes them; `reward` (S, runs) and `accepted` (S, runs) of each run."""

    schemes: tuple[Scheme, ...]
    steps: NDArray[np.int32]
    step_reward: NDArray[np.float64]
    selected: NDArray[np.int64]
    accepted: NDArray[np.bool_]

    @property
    def reward(self) -> NDArray[np.float64]:
        """Reward of the selected step, (S, runs)."""
        return self.step_reward[self.selected]


def measure_step(
    draft: Engine,
    base: Engine,
    reward_model: RewardModel,
    position: Position,
    runs: int,
    schemes: Sequence[Scheme],
    rule: StepRule,
    seed: int,
) -> StepMeasurement:
    """`runs` fresh runs of GSI's step at one position under every scheme: what `gsi_law` predicts exactly.

    Candidates are drawn once per run, as many as the largest scheme needs, and shared by the schemes; scheme s uses the
    first s.n drafts and the first s.base_draws base draws. Runs are independent of each other; schemes are not.
    Raises InputError for no schemes or fewer than 1 run.
    """
    if not schemes or runs < 1:
        raise InputError(f"measure_step got {len(schemes)} schemes and {runs} runs: give at least one of each")
    policies = Policies(draft, base, reward_model)
    caches = {name: policies.engine(name).prefill([position.prefix]) for name in ("draft", "base")}
    drawn, weighted, noise = {}, {}, {}
    for name in ("draft", "base"):
        n = max(s.n if name == "draft" else s.base_draws for s in schemes)
        other = caches["base"] if name == "draft" else None
        drawn[name] = draw_candidates(
            policies, name, (caches[name], other), [position], runs * n, [position.stream(seed, _DRAWS[name])], rule
        )
        flat = _weighted(drawn[name], name, "tilted" if name == "draft" else "reward")
        weighted[name] = _Weighted(flat.reward.reshape(runs, n), flat.log_ratio.reshape(runs, n))
        noise[name] = position.stream(seed, _NOISE[name]).generator().random((runs, n))
    tokens = np.concatenate([drawn[name].steps.tokens[0] for name in ("draft", "base")])
    steps, first, ids = np.unique(tokens, axis=0, return_index=True, return_inverse=True)
    identity = dict(zip(("draft", "base"), np.split(ids.ravel(), [weighted["draft"].reward.size]), strict=True))
    rewards = np.concatenate([drawn[name].reward[0] for name in ("draft", "base")])[first]
    selected = np.empty((len(schemes), runs), dtype=np.int64)
    accepted = np.ones((len(schemes), runs), dtype=bool)
    at = np.arange(runs)
    for s, scheme in enumerate(schemes):
        mine = weighted["draft"].first(scheme.n)
        winner, score = _winners(mine, scheme, noise["draft"][:, : scheme.n])
        selected[s] = identity["draft"].reshape(runs, -1)[at, winner]
        if scheme.threshold is None:
            continue
        accepted[s], _ = _gate(mine, scheme, winner, score)
        fallback, _ = _winners(weighted["base"].first(scheme.base_draws), scheme, noise["base"][:, : scheme.base_draws])
        selected[s] = np.where(accepted[s], selected[s], identity["base"].reshape(runs, -1)[at, fallback])
    return StepMeasurement(tuple(schemes), steps, rewards, selected, accepted)
