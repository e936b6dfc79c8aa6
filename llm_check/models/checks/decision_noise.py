"""Numerical noise of the log-ratio, and the decisions it flips: artifact `lm_noise`.

The same drafts are scored twice: on the world's engines, and on a reference pair of the same weights (by default in
bfloat16; or another engine). With the same selection noise on both sides, counted are steps of GSI whose winner
differs, whose gate decides otherwise, and whose outcome (winner and decision) differs. Beside them stands what the
noise does to a tilted reward, sd(Δℓ)/β in reward units, and how many winners lie that near to the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gsi_theory import Scheme
from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.types import Floats, Json, Record
from llm_check.models.checks.check_settings import read_settings
from llm_check.models.checks.check_table import CHECKS
from llm_check.models.checks.places import places_of, require_room
from llm_check.models.collecting.collect import step_rewards
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.random_streams import Purpose
from llm_check.models.decoding.step_candidates import noise_uniforms
from llm_check.models.decoding.winners import GATES, select
from llm_check.models.world import World, world_record

__all__ = ["DEFAULTS", "flips", "run"]

DEFAULTS = CHECKS["lm_noise"].defaults
RULES = ("softmax", "race")


def flips(reward: Floats, ratios: tuple[Floats, Floats], uniforms: Floats, scheme: Scheme) -> Record:
    """Of R runs of n drafts, `reward` and two versions of the log-ratio (R, n), one selection noise: how many winners,
    gate decisions and outcomes differ, and the winners within one sd of the noise of the threshold."""
    gate, rows = GATES[scheme.gate], np.arange(len(reward))
    sides = []
    for ratio in ratios:
        at, score = select(scheme.beta * reward + ratio, uniforms, scheme.rule)
        judged = reward[rows, at], ratio[rows, at], score, scheme
        sides.append((at, gate.passes(*judged, np.zeros(len(rows))), gate.value(*judged)))
    (at, accepted, value), (other_at, other_accepted, _) = sides
    shift = (ratios[1] - ratios[0])[np.isfinite(ratios[0]) & np.isfinite(ratios[1])] / scheme.beta
    noise = float(shift.std()) if shift.size else 0.0
    assert scheme.threshold is not None
    # A rejected run falls back on the base whoever won: its outcome is the rejection.
    outcome, other = (np.where(ok, won, -1) for won, ok in ((at, accepted), (other_at, other_accepted)))
    return {
        "winner_flips": int((at != other_at).sum()),
        "gate_flips": int((accepted != other_accepted).sum()),
        "outcome_flips": int((outcome != other).sum()),
        "noise_tilted_reward": noise,
        "near_threshold": int((np.abs(value - scheme.threshold) <= noise).sum()),
    }


def _scored(world: World, place: Position, steps: NDArray[np.int32]) -> tuple[Floats, Floats]:
    """Step log-probabilities (M,) under draft and base of one world."""
    logps = []
    for engine in (world.draft, world.base):
        logps.append(engine.score(engine.prefill([place.prefix]), steps[None]).sum(axis=-1)[0])
    return logps[0], logps[1]


def _rows(
    world: World, other: World, place: Position, schemes: Sequence[Scheme], runs: int, seed: int
) -> tuple[list[Record], Floats, Floats]:
    """Flips of every scheme at one position; the differences of the log-ratio of M drafts, and per token of each step
    and model."""
    most = max(scheme.n for scheme in schemes)
    streams = [place.stream(seed, Purpose.CHECK)]
    drawn = world.draft.sample(world.draft.prefill([place.prefix]), runs * most, streams, world.rule)
    steps, lengths = drawn.tokens[0], drawn.lengths[0]
    reward = step_rewards(world.reward_model, [place], drawn.tokens).reshape(runs, most)
    mine, theirs = _scored(world, place, steps), _scored(other, place, steps)
    ratios = tuple((pair[1] - pair[0]).reshape(runs, most) for pair in (mine, theirs))
    uniforms = np.stack([noise_uniforms([place], "draft", runs * most, seed)[0]]).reshape(runs, most)
    rows = []
    for scheme in schemes:
        n = scheme.n
        cut = ratios[0][:, :n], ratios[1][:, :n]
        rows.append(
            {
                "problem_id": place.prompt_id,
                "step": place.step,
                "rule": scheme.rule,
                "gate": scheme.gate,
                "beta": scheme.beta,
                "n": n,
                "runs": runs,
                **flips(reward[:, :n], cut, uniforms[:, :n], scheme),
            }
        )
    tokens = np.concatenate([(b - a) / lengths for a, b in zip(mine, theirs, strict=True)])
    return rows, (ratios[1] - ratios[0]).ravel(), tokens


def run(
    world: World,
    seed: int,
    out: Path,
    settings: dict[str, str],
    progress: Callable[[int, int], None],
    command: str,
    reference: World | None = None,
) -> Path:
    """Write the artifact; settings betas, ns, threshold, problems (one position each), runs (of n drafts).

    `reference` holds the engines to compare with. Raises InputError without it.
    """
    chosen = read_settings(settings, DEFAULTS)
    if reference is None:
        raise InputError(
            "lm_noise compares two pairs of engines: give --reference-dtype or --reference-draft and -base"
        )
    schemes = [
        Scheme(beta, n, chosen["threshold"], rule) for rule in RULES for beta in chosen["betas"] for n in chosen["ns"]
    ]
    most = max(chosen["ns"])
    places = places_of(world, seed, chosen["problems"])
    require_room(world, places, chosen["runs"] * most, f"runs = {chosen['runs']} of n = {most}")
    table: dict[str, list[Json]] = {}
    ratios, tokens = [], []
    for done, place in enumerate(places, start=1):
        rows, ratio, token = _rows(world, reference, place, schemes, chosen["runs"], seed)
        ratios.append(ratio)
        tokens.append(token)
        for row in rows:
            for name, value in row.items():
                table.setdefault(name, []).append(value)
        progress(done, len(places))
    ratio, token = np.concatenate(ratios), np.concatenate(tokens)
    ratio = ratio[np.isfinite(ratio)]
    total = sum(table["runs"])
    summary = {
        "engines": [f"{w.draft.contract.engine} {w.draft.contract.dtype}" for w in (world, reference)],
        "log_ratio_sd": float(ratio.std()),
        "log_ratio_mean": float(ratio.mean()),
        "log_ratio_max": float(np.abs(ratio).max()),
        "token_logp_sd": float(token[np.isfinite(token)].std()),
        "runs": total,
        **{name: sum(table[name]) / total for name in ("winner_flips", "gate_flips", "outcome_flips")},
        "threshold": chosen["threshold"],
        "world": world_record(world),
    }
    return write_artifact(out, "lm_noise", provenance(command, seed), summary, {"cells": table})
