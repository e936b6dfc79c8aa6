"""The models and the device that a plan is costed for, and the cost of every option."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gsi_theory.errors import InputError, nearest
from gsi_theory.runs.costs import (
    DEVICES,
    MEASURED,
    OVERHEADS,
    SHAPES,
    Device,
    Overheads,
    Sizes,
    Slowdown,
    StepCost,
    Trio,
    gsi_seconds,
    soft_bon_seconds,
    step_cost,
)
from gsi_theory.types import Floats
from llm_check.logs.planner.calibration import calibrate, read_costs
from llm_check.logs.planner.option_table import PlanTable

__all__ = ["COSTS", "DEFAULT_MODELS", "Setup", "option_costs", "stated_setup"]

DEFAULT_MODELS = "qwen2.5-math-1.5b,qwen2.5-math-7b,qwen2.5-math-prm-7b"
COSTS = ("flops", "tokens", "seconds")
_LONGEST_STEP = 1e12  # tokens; sums of costs over positions and options stay floats


@dataclass(frozen=True)
class Setup:
    """What a step costs: sizes of the models, unit of cost (COSTS); device, shapes, calibration, overheads and tokens
    of context for "seconds"; tokens of a step where the pool logs none."""

    sizes: Sizes = field(default_factory=lambda: Sizes(1.54e9, 7.62e9, 7.08e9))
    unit: str = "flops"
    device: Device | None = None
    trio: Trio | None = None
    calibration: Slowdown = field(default_factory=Slowdown)
    overheads: Overheads = field(default_factory=Overheads)
    context: float = 500.0
    step_tokens: float = 100.0


def option_costs(table: PlanTable, setup: Setup) -> tuple[StepCost, Floats | None]:
    """Cost of every option, and its seconds when a device is given."""
    options = table.options
    base = np.array([o.method == "base" for o in options])
    n, n_base = np.array([o.n for o in options]), np.array([o.n_base for o in options])
    alone = np.array([not b and o.n == 1 and o.threshold is None for b, o in zip(base, options, strict=True)])
    # tokens of a fallback step, where fallbacks happen
    falls = np.where(table.reject > 0, table.reject_tokens / np.maximum(table.reject, 1e-300), table.base_tokens)
    cost = step_cost(np.where(base, 0, n), n_base, table.reject, table.draft_tokens, falls, setup.sizes, alone)
    if setup.device is None or setup.trio is None:
        return cost, None
    trio, device, more = setup.trio, setup.device, (setup.context, 1.0, setup.calibration)
    own, reject = setup.overheads, table.reject
    gated = gsi_seconds(trio, device, n, n_base, reject, table.draft_tokens, falls, *more, alone, overheads=own)
    soft = soft_bon_seconds(trio, device, n_base, table.base_tokens, *more, overheads=own)
    return cost, np.where(base, soft, gated)


def stated_setup(
    unit: str,
    device: str | None,
    models: str | None,
    timings: str | None,
    context: float,
    tokens: float,
    engine: str | None = None,
    costs: Path | None = None,
) -> Setup:
    """What a step costs, from the texts of `gsi plan`'s options; InputError names the option that cannot be."""
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
    names = (models or DEFAULT_MODELS).split(",")
    if len(names) != 3 or any(name not in SHAPES and not _is_number(name) for name in names):
        raise InputError(
            f"--models {models!r}: give draft,base,reward as names ({', '.join(SHAPES)}) or parameters (1.5e9)"
        )
    sizes = Sizes(*(SHAPES[n].parameters if n in SHAPES else float(n) for n in names))
    if device is None and timings is not None:
        raise InputError(f"--timings {timings!r} without --device: name the device they were measured on")
    if device is None and engine is not None:
        raise InputError(f"--engine {engine!r} without --device: name the device it runs on")
    if engine is not None and engine not in OVERHEADS:
        raise InputError(f"--engine {engine!r}{nearest(engine, OVERHEADS)}: give one of {', '.join(OVERHEADS)}")
    if device is None:
        return Setup(sizes, unit, step_tokens=tokens)
    if device not in DEVICES:
        raise InputError(f"--device {device!r}{nearest(device, DEVICES)}: give one of {', '.join(DEVICES)}")
    if any(name not in SHAPES for name in names):
        raise InputError(f"--device with --models {models!r}: seconds need known shapes, give {', '.join(SHAPES)}")
    trio, calibration = Trio(*(SHAPES[n] for n in names)), Slowdown()
    if timings is not None:
        size, draft, base = _timings(timings)
        calibration = calibrate(trio, DEVICES[device], draft, base, size, context)
    overheads = Overheads() if engine is None else OVERHEADS[engine]
    return Setup(sizes, unit, DEVICES[device], trio, calibration, overheads, context, tokens)


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
