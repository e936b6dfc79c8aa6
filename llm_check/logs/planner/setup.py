"""The models and the device that a plan is costed for, and the cost of every option."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gsi_theory.runs.costs import (
    Device,
    Sizes,
    Slowdown,
    StepCost,
    Trio,
    gsi_seconds,
    soft_bon_seconds,
    step_cost,
)
from gsi_theory.types import Floats
from llm_check.logs.planner.option_table import PlanTable

__all__ = ["COSTS", "Setup", "option_costs"]

COSTS = ("flops", "tokens", "seconds")


@dataclass(frozen=True)
class Setup:
    """What a step costs: sizes of the models, unit of cost (COSTS); device, shapes, calibration and tokens of context
    for "seconds"; tokens of a step where the pool logs none."""

    sizes: Sizes = field(default_factory=lambda: Sizes(1.54e9, 7.62e9, 7.08e9))
    unit: str = "flops"
    device: Device | None = None
    trio: Trio | None = None
    calibration: Slowdown = field(default_factory=Slowdown)
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
    more = setup.context, 1.0, setup.calibration
    own = gsi_seconds(setup.trio, setup.device, n, n_base, table.reject, table.draft_tokens, falls, *more, alone)
    soft = soft_bon_seconds(setup.trio, setup.device, n_base, table.base_tokens, *more)
    return cost, np.where(base, soft, own)
