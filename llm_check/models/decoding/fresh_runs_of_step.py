"""Fresh runs of one step: what an exact law predicts, measured.

`measure_step` runs GSI under many schemes on shared candidates; `measure_method` runs any method of the table as it is
decoded. Runs are independent; every run of a position draws from streams of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsi_theory import Scheme
from gsi_theory.errors import InputError
from llm_check.models.collecting.collect import step_rewards
from llm_check.models.decoding.method_step import StepOutcome, run_step
from llm_check.models.decoding.method_table import Method, policies_used
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.random_streams import draw_purpose, select_purpose
from llm_check.models.decoding.reasoning_steps import StepRule, require_candidates
from llm_check.models.decoding.step_candidates import Models, padded
from llm_check.models.decoding.winners import GATES, WEIGHTS, select
from llm_check.models.engines.engine import Engine

__all__ = ["StepMeasurement", "measure_method", "measure_step"]

# Runs side by side in `measure_method`: a few hundred megabytes of cache on the models this is meant for.
_CHUNK = 1024


@dataclass(frozen=True)
class StepMeasurement:
    """Fresh runs of one step under S schemes. `steps` (M, T) are the distinct steps seen, `step_reward` (M,) their
    rewards; `selected` (S, runs) indexes them; `reward` (S, runs) and `accepted` (S, runs) of each run. The candidates
    of each run, `drafts` (runs, n) and `bases` (runs, n_base), index the steps; `winner` (S, runs) is the place of the
    selected draft among them, accepted or not, `fallback` (S, runs) that of the selected base draw (-1: no gate)."""

    schemes: tuple[Scheme, ...]
    steps: NDArray[np.int32]
    step_reward: NDArray[np.float64]
    selected: NDArray[np.int64]
    accepted: NDArray[np.bool_]
    drafts: NDArray[np.int64]
    bases: NDArray[np.int64]
    winner: NDArray[np.int64]
    fallback: NDArray[np.int64]

    @property
    def reward(self) -> NDArray[np.float64]:
        """Reward of the selected step, (S, runs)."""
        return self.step_reward[self.selected]


@dataclass(frozen=True)
class _Pool:
    """The candidates of all runs from one source: step index, reward, log-ratio and log-noise uniforms, (runs, n)."""

    step: NDArray[np.int64]
    reward: NDArray[np.float64]
    log_ratio: NDArray[np.float64]
    uniforms: NDArray[np.float64]

    def winners(self, scheme: Scheme, n: int, weight: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Winner (runs,) among the first n of each run, and its score (nats)."""
        log_weight = WEIGHTS[weight].log_weight(self.reward[:, :n], self.log_ratio[:, :n], scheme)
        return select(log_weight, self.uniforms[:, :n], scheme.rule)


def measure_step(
    draft: Engine,
    base: Engine,
    reward_model: Any,
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
    models = Models(draft, base, reward_model)
    largest = {"draft": max(s.n for s in schemes), "base": max(s.base_draws for s in schemes)}
    most = max(largest.values())
    require_candidates(runs * most, 1, rule, f"{runs} runs of n = {most}")
    steps, step_reward, pools = _pools(models, position, runs, largest, rule, seed)
    selected, winner, fallback = (np.full((len(schemes), runs), -1, dtype=np.int64) for _ in range(3))
    accepted = np.ones((len(schemes), runs), dtype=bool)
    at = np.arange(runs)
    mine, other = pools["draft"], pools["base"]
    for s, scheme in enumerate(schemes):
        winner[s], score = mine.winners(scheme, scheme.n, "ratio")
        selected[s] = mine.step[at, winner[s]]
        if scheme.threshold is None:
            continue
        won = mine.reward[at, winner[s]], mine.log_ratio[at, winner[s]]
        accepted[s] = GATES[scheme.gate].passes(*won, score, scheme, np.zeros(runs))
        fallback[s], _ = other.winners(scheme, scheme.base_draws, "reward")
        selected[s] = np.where(accepted[s], selected[s], other.step[at, fallback[s]])
    return StepMeasurement(
        tuple(schemes), steps, step_reward, selected, accepted, mine.step, other.step, winner, fallback
    )


def _pools(
    models: Models, position: Position, runs: int, largest: dict[str, int], rule: StepRule, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.float64], dict[str, _Pool]]:
    """The distinct steps drawn (M, T), their rewards, and the runs × n candidates of draft and base."""
    caches = {name: models.engine(name).prefill([position.prefix]) for name in largest}
    drawn, ratios = {}, {}
    for name, n in largest.items():
        streams = [position.stream(seed, draw_purpose(name))]
        drawn[name] = models.engine(name).sample(caches[name], runs * n, streams, rule)
        ratios[name] = np.zeros(runs * n)
        if name == "draft":
            scored = models.base.score(caches["base"], drawn[name].tokens).sum(axis=-1)
            ratios[name] = (scored - drawn[name].logp)[0]
    depth = max(steps.tokens.shape[2] for steps in drawn.values())
    tokens = np.concatenate([padded(drawn[name].tokens[0], depth) for name in largest])
    steps, ids = np.unique(tokens, axis=0, return_inverse=True)
    rewards = step_rewards(models.reward_model, [position], steps[None])[0]
    pools = {}
    for name, part in zip(largest, np.split(ids.ravel(), [runs * largest["draft"]]), strict=True):
        shape = (runs, largest[name])
        uniforms = position.stream(seed, select_purpose(name)).generator().random(shape)
        pools[name] = _Pool(part.reshape(shape), rewards[part].reshape(shape), ratios[name].reshape(shape), uniforms)
    return steps, rewards, pools


def measure_method(
    method: Method,
    scheme: Scheme,
    models: Models,
    position: Position,
    runs: int,
    rule: StepRule,
    seed: int,
    passed: bool = False,
) -> StepOutcome:
    """`runs` fresh runs of one step of a method at one position, exactly as decoding takes it.

    `passed`: whether the step before passed the gate, for methods that switch. Raises InputError for fewer than 1 run.
    """
    if runs < 1:
        raise InputError(f"measure_method got {runs} runs: give at least 1")
    encoded = {
        name: models.engine(name).prefill([position.prefix]) for name in policies_used(method, len(models.drafters))
    }
    parts = []
    for start in range(0, runs, _CHUNK):
        size = min(_CHUNK, runs - start)
        rows = np.zeros(size, dtype=np.int64)
        caches = {name: models.engine(name).select(cache, rows) for name, cache in encoded.items()}
        parts.append(
            run_step(method, scheme, models, caches, _copies(position, start, size), rule, seed, np.full(size, passed))
        )
    depth = max(part.tokens.shape[1] for part in parts)
    parts = [replace(part, tokens=padded(part.tokens, depth)) for part in parts]
    return StepOutcome(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(StepOutcome)})


def _copies(position: Position, start: int, size: int) -> list[Position]:
    """The position under `size` names of its own, so that every run has its own streams."""
    prompt = position.prompt
    return [
        Position(replace(prompt, prompt_id=f"{prompt.prompt_id}#{i}"), position.path)
        for i in range(start, start + size)
    ]
