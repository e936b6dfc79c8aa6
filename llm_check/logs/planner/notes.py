"""What a plan says beside its numbers: what the recommended option is guaranteed, what the pool cannot tell, notes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gsi_theory.runs.costs import MEASURED, Overheads, Slowdown
from gsi_theory.runs.terminal import counted
from gsi_theory.types import Floats
from llm_check.logs.planner.option_table import PlanTable
from llm_check.logs.planner.setup import Setup
from llm_check.logs.planner.tail import tail_limits, tail_speaks, upto
from llm_check.logs.pools.position_arrays import PositionArrays, PositionBlock

__all__ = ["guarantee", "limits", "notes"]

FEW = 0.2  # share of positions with small sets that are worth leaving out


def limits(arrays: PositionArrays, parts: Sequence[PositionBlock], table: PlanTable, ns: Sequence[int]) -> list[str]:
    """What the pool cannot tell, one line for every β of one cause; and which few positions hold n down."""
    lines = tail_limits(table.tails.values())
    sizes = np.concatenate([np.full(b.positions.size, min(b.draft.shape[1], b.base.shape[1])) for b in parts])
    positions, smallest = np.concatenate([b.positions for b in parts]), int(sizes.min())
    beyond = [n for n in ns if n > smallest // 2]
    if not beyond:
        return lines
    lines.append(f"left out n of {', '.join(map(str, beyond))}: the smallest set has {smallest} candidates, draw 2 n")
    few = np.flatnonzero(sizes < np.median(sizes) / 2.0)
    if 0 < few.size <= FEW * sizes.size:
        named = ", ".join(f"{p!r} step {step}" for p, step in (arrays.names[i] for i in positions[few[:3]].tolist()))
        more = f" and {few.size - 3} more" if few.size > 3 else ""
        rest = int(sizes[sizes >= np.median(sizes) / 2.0].min())
        lines.append(
            f"few candidates at {named}{more} hold n down: without {'it' if few.size == 1 else 'them'} n up to "
            f"{rest // 2} can be compared"
        )
    return lines


def guarantee(table: PlanTable, chosen: int | None, kl_bound: Floats, error: Floats) -> str:
    """What holds for the chosen option, in one line."""
    if chosen is None:
        return ""
    option = table.options[chosen]
    tail = table.tails[option.beta]
    if not tail_speaks(tail):
        return f"none: the base candidates do not show enough of the tilted policy at β = {option.beta:g}"
    gate = "" if option.threshold is None else ", with the gate's part (it does not vanish as n grows, M7)"
    if not np.isfinite(kl_bound[chosen]):
        return "none: the base draws steps that the draft cannot, and no fallback was seen: KL(π‖law) may be infinite"
    missed = f"{tail.base} base candidates miss at most {tail.unseen:.2%} of π (95 %){upto(tail)}"
    spread = f"± {error[chosen]:.2g} nats" if np.isfinite(error[chosen]) else "nats (one position: no error)"
    bound = f"KL(π‖law) ≤ {kl_bound[chosen]:.4g} {spread} a step on average"
    return f"{bound}: (M11) on this pool{gate}; {missed}"


def notes(table: PlanTable, setup: Setup, no_tokens: bool, left: int, options: int) -> list[str]:
    """What the numbers rest on, the sizes of the models first. no_tokens: whether the pool logs none; left: positions
    left out; options: of the grid."""
    draft, base, reward = (f"{v / 1e9:.3g}B" for v in vars(setup.sizes).values())
    lines = [
        f"costs are {setup.unit} a step for a draft of {draft}, a base of {base} and a reward model of {reward} "
        "parameters (--models states yours)",
        f"values are means over {counted(table.positions, 'position')}; independent units: {table.units}",
    ]
    if options > len(table.options):
        lines.append(f"listed once: {counted(options - len(table.options), 'option')} that do here what another does")
    if table.estimator == "plug-in":
        lines.append("values by the plug-in law (M30) less its bias by half pools: the pool is too large for (M31)")
    if table.sampled < table.positions:
        lines.append(f"distances to the tilted policy from {counted(table.sampled, 'position')}, evenly spread")
    if no_tokens:
        lines.append(f"the pool logs no tokens: every step taken as {setup.step_tokens:g} tokens")
    if left:
        lines.append(f"without candidates of both sources and not used: {counted(left, 'position')}")
    if setup.device is not None:
        scaled = (
            ""
            if setup.calibration == Slowdown()
            else f", scaled by {setup.calibration.draft:.2g} (draft) and {setup.calibration.base:.2g} (base)"
        )
        source = "as measured (--costs)" if setup.device == MEASURED else "by a roofline (M33)"
        own = ", with what the engine takes beside the passes" if setup.overheads != Overheads() else ""
        own = "" if setup.device == MEASURED else own
        lines.append(f"seconds {source}, context {setup.context:g} tokens{own}{scaled}")
    return lines
