"""The models and the device that a plan is costed for, and the cost of every option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from gsi_theory.errors import InputError, nearest
from gsi_theory.runs.costs import (
    DEVICES,
    MEASURED,
    OVERHEADS,
    SHAPES,
    Device,
    Overheads,
    Shape,
    Sizes,
    Slowdown,
    StepCost,
    Trio,
    gsi_seconds,
    reading_seconds,
    soft_bon_seconds,
    step_cost,
)
from gsi_theory.types import Floats, Json
from llm_check.logs.planner.calibration import calibrate, read_costs
from llm_check.logs.planner.option_table import PlanTable
from llm_check.logs.planner.scheme_grid import DEFAULT_MODELS

__all__ = ["COSTS", "Setup", "option_costs", "recorded_sizes", "stated_setup"]

COSTS = ("flops", "tokens", "seconds")
_LONGEST_STEP = 1e12  # tokens; sums of costs over positions and options stay floats


@dataclass(frozen=True)
class Setup:
    """What a step costs: sizes of the models, unit of cost (COSTS); device, shapes, calibration, overheads and tokens
    of context for "seconds"; tokens of a step where the pool logs none; recorded: whether the sizes are the pool's own.
    """

    sizes: Sizes = field(default_factory=lambda: Sizes(1.54e9, 7.62e9, 7.08e9))
    unit: str = "flops"
    device: Device | None = None
    trio: Trio | None = None
    calibration: Slowdown = field(default_factory=Slowdown)
    overheads: Overheads = field(default_factory=Overheads)
    context: float = 500.0
    step_tokens: float = 100.0
    recorded: bool = False


def option_costs(table: PlanTable, setup: Setup) -> tuple[StepCost, Floats | None]:
    """Cost of every option, and its seconds when a device is given.

    A method that reads no ratio is not scored by the base, one that reads no reward is not judged: of "draft" and
    "base" nothing, of RSD the draft and not its fallback.
    """
    options = table.options
    base = np.array([o.on_base for o in options])
    n, n_base = np.array([o.n for o in options]), np.array([o.n_base for o in options])
    ratio = np.array([o.weighs_ratio for o in options])
    reward = np.array([o.method not in ("draft", "base") for o in options])
    after = np.array([reward[s] and o.record.fallback == "select" for s, o in enumerate(options)])
    # tokens of a fallback step, where fallbacks happen
    falls = np.where(table.reject > 0, table.reject_tokens / np.maximum(table.reject, 1e-300), table.base_tokens)
    every = step_cost(np.where(base, 0, n), n_base, table.reject, table.draft_tokens, falls, setup.sizes)
    scored, judged = every.drafted * ratio, every.drafted * reward + every.decoded * after
    of_base, of_reward = 2.0 * setup.sizes.base * (scored + every.decoded), 2.0 * setup.sizes.reward * judged
    cost = replace(every, scored=scored, judged=judged, flops_base=of_base, flops_reward=of_reward)
    if setup.device is None or setup.trio is None:
        return cost, None
    trio, device, slow, own = setup.trio, setup.device, setup.calibration, setup.overheads
    before = setup.context
    drafts, texts = table.draft_tokens, table.base_tokens
    gated = gsi_seconds(trio, device, n, n_base, table.reject, drafts, falls, before, 1.0, slow, ~ratio, own)
    judging = slow.base * reading_seconds(trio.reward, device, own.reward, n, drafts, setup.context, drafts)
    soft = soft_bon_seconds(trio, device, n_base, texts, before, 1.0, slow, own)
    # the base writes as the draft does, and nobody judges
    as_draft = replace(trio, draft=trio.base), device, n_base, 1, 0.0, texts, 0.0, setup.context
    by_base = replace(own, draft=own.base)
    writing = gsi_seconds(*as_draft, calibration=Slowdown(slow.base, slow.base), alone=True, overheads=by_base)
    # without a ratio: drafting, then judging; the fallback of RSD is written and not judged
    alone = gsi_seconds(trio, device, n, 1, 0.0, drafts, 0.0, before, 1.0, slow, True, own)
    plain = alone + np.where(reward, judging, 0.0) + np.where(base, 0.0, table.reject * writing)
    return cost, np.where(base, np.where(reward, soft, writing), np.where(ratio, gated, plain))


def recorded_sizes(metadata: Mapping[str, Json]) -> Sizes | None:
    """Parameters of draft, base and reward model as a pool's provenance counts them; None where one is not recorded.
    A reward that is computed without a model counts as one parameter."""
    counts = []
    for model in ("draft", "base", "reward"):
        record = metadata.get(model)
        count = record.get("parameters") if isinstance(record, Mapping) else None
        if isinstance(count, bool) or not isinstance(count, int | float) or not 0 <= count < float("inf"):
            return None
        counts.append(max(float(count), 1.0))
    return Sizes(*counts)


def stated_setup(
    unit: str,
    device: str | None,
    models: str | None,
    timings: str | None,
    context: float,
    tokens: float,
    metadata: Mapping[str, Json] = MappingProxyType({}),
    engine: str | None = None,
    costs: Path | None = None,
) -> Setup:
    """What a step costs, from the texts of `gsi plan`'s options, the sizes of models that are not stated from a pool's
    provenance, metadata; InputError names the option that cannot be."""
    if not 0 < tokens <= _LONGEST_STEP:
        raise InputError(f"--step-tokens {tokens:g}: give the tokens of a step, above 0, at most {_LONGEST_STEP:g}")
    if not 0 <= context < float("inf"):
        raise InputError(f"--context {context:g}: give the tokens before the step, 0 or more")
    if unit not in COSTS:
        raise InputError(f"--cost {unit!r}{nearest(unit, COSTS)}: give one of {', '.join(COSTS)}")
    if costs is not None:
        if device or timings or engine or models:
            raise InputError(
                "--costs with --device, --timings, --engine or --models: it measured all of them, leave out"
            )
        trio, overheads = read_costs(costs)
        sizes = Sizes(trio.draft.parameters, trio.base.parameters, trio.reward.parameters)
        return Setup(sizes, unit, MEASURED, trio, Slowdown(), overheads, context, tokens)
    recorded = recorded_sizes(metadata) if models is None else None
    if recorded is not None and device is None and timings is None and engine is None:
        return Setup(recorded, unit, step_tokens=tokens, recorded=True)
    models = DEFAULT_MODELS if models is None else models
    names = models.split(",")
    if len(names) != 3 or any(name not in SHAPES and not _is_number(name) for name in names):
        raise InputError(
            f"--models {models!r}: give draft,base,reward as names ({', '.join(SHAPES)}) or parameters (1.5e9)"
        )
    stated = recorded or Sizes(*(SHAPES[n].parameters if n in SHAPES else float(n) for n in names))
    if device is None and timings is not None:
        raise InputError(f"--timings {timings!r} without --device: name the device they were measured on")
    if device is None and engine is not None:
        raise InputError(f"--engine {engine!r} without --device: name the device it runs on")
    if engine is not None and engine not in OVERHEADS:
        raise InputError(f"--engine {engine!r}{nearest(engine, OVERHEADS)}: give one of {', '.join(OVERHEADS)}")
    if device is None:
        return Setup(stated, unit, step_tokens=tokens)
    if device not in DEVICES:
        raise InputError(f"--device {device!r}{nearest(device, DEVICES)}: give one of {', '.join(DEVICES)}")
    if any(name not in SHAPES for name in names):
        raise InputError(f"--device with --models {models!r}: seconds need known shapes, give {', '.join(SHAPES)}")
    trio, calibration = Trio(*(SHAPES[n] for n in names)), Slowdown()
    if recorded is not None:  # the pool's own models: their cache traffic is not known, and left out
        trio = Trio(*(Shape(count) for count in vars(recorded).values()))
    if timings is not None:
        size, draft, base = _timings(timings)
        calibration = calibrate(trio, DEVICES[device], draft, base, size, context)
    overheads = Overheads() if engine is None else OVERHEADS[engine]
    known = recorded is not None
    return Setup(stated, unit, DEVICES[device], trio, calibration, overheads, context, tokens, known)


def _timings(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 3:
        raise InputError(f"--timings {text!r}: give n, and seconds a token of draft and base for a batch of n")
    return numbers


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
