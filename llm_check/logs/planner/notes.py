"""What a plan says beside its numbers: what the recommended option is guaranteed, what the pool cannot tell, notes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gsi_theory.runs.costs import MEASURED, Overheads, Slowdown
from gsi_theory.runs.terminal import counted
from gsi_theory.types import Floats
from llm_check.logs.planner.distance import UNBOUNDED
from llm_check.logs.planner.option_table import PlanTable
from llm_check.logs.planner.setup import Setup
from llm_check.logs.planner.tail import tail_limits, tail_speaks, upto
from llm_check.logs.pools.position_arrays import PositionBlock

__all__ = ["guarantee", "limits", "notes"]


def limits(parts: Sequence[PositionBlock], table: PlanTable, ns: Sequence[int]) -> list[str]:
    """What the pool cannot tell, one line for every β of one cause; and which n are beyond it."""
    lines = tail_limits(table.tails.values())
    sizes = np.concatenate([np.full(b.positions.size, min(b.draft.shape[1], b.base.shape[1])) for b in parts])
    smallest = int(sizes.min())
    beyond = [n for n in ns if n > smallest // 2]
    if beyond:
        lines.append(
            f"left out n of {', '.join(map(str, beyond))}: the smallest set has {smallest} candidates, draw 2 n"
        )
    return lines


def guarantee(table: PlanTable, chosen: int | None, kl_bound: Floats, error: Floats) -> str:
    """What holds for the chosen option, in one line."""
    if chosen is None:
        return ""
    option = table.options[chosen]
    if option.method in UNBOUNDED:
        return f"none: {option.record.label} aims at no tilted policy (--max-kl asks for what is near one)"
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


def notes(
    table: PlanTable,
    setup: Setup,
    no_tokens: bool,
    left: int,
    options: int,
    few: int = 0,
    read: tuple[int, tuple[int, int]] | None = None,
) -> list[str]:
    """What the numbers rest on, the sizes of the models first. no_tokens: whether the pool logs none; left: positions
    without a source; options: of the grid; few: positions with few candidates; read: prompts
    of how many (rows, prompts)."""
    draft, base, reward = (f"{v / 1e9:.3g}B" for v in vars(setup.sizes).values())
    whose = "as the pool counts them; --models states others" if setup.recorded else "--models states yours"
    lines = [
        f"costs are {setup.unit} a step for a draft of {draft}, a base of {base} and a reward model of {reward} "
        f"parameters ({whose})",
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
    if few:
        lines.append(
            f"with less than half the candidates of the median position and not used: {counted(few, 'position')}"
        )
    if read is not None and read[0] < read[1][1]:
        rows, prompts = read[1]
        lines.append(f"from {read[0]:,} of {counted(prompts, 'prompt')}, evenly spread, of {counted(rows, 'row')}")
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
