"""Gradient ascent on how far a claim fails, through the differentiable laws: Adam on many points at once (torch).

This is the one module of the refuter that needs torch; nothing is imported until `climb` runs. Without torch
`available()` is False and the search goes on with its global method.
"""

from __future__ import annotations

import importlib.util
import time

import numpy as np

from gsi_theory.claims.claim import Claim
from gsi_theory.errors import InputError
from gsi_theory.refutation.search_space import NEVER, Space, excess
from gsi_theory.types import Array, Floats

__all__ = ["available", "climb"]

DECAY = (0.9, 0.99)  # of the first and second moments
# First and last step of a coordinate, as a share of the box's width.
STEPS = (0.03, 0.001)


def available() -> bool:
    """Whether torch is installed."""
    return importlib.util.find_spec("torch") is not None


def climb(
    claim: Claim,
    space: Space,
    start: Floats,
    steps: int,
    whole: bool = False,
    telling: bool = False,
    deadline: float = np.inf,
) -> tuple[Floats, Floats]:
    """(points, excess) after `steps` steps from `start` (B, 3K + 3): for every row the best point met on the way.

    With `whole` n is rounded and stays where it is, otherwise it moves too, over the reals. Coordinates that a claim
    does not feel, and a threshold's place, have no gradient and stay. Past `deadline` (time.monotonic) it stops early.
    Raises InputError where torch is missing.
    """
    if not available():
        raise InputError(
            "torch is not installed: pip install 'gsi-theory[llm]', or search with the global method alone"
        )
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # arrays of a few hundred numbers: threads only cost
    try:
        return _climb(torch, claim, space, start, steps, whole, telling, deadline)
    finally:
        torch.set_num_threads(threads)


def _climb(
    torch: Array, claim: Claim, space: Space, start: Floats, steps: int, whole: bool, telling: bool, deadline: float
) -> tuple[Floats, Floats]:
    low, high = (torch.asarray(v) for v in space.bounds)
    width = torch.where(high > low, high - low, 1.0)
    points = torch.asarray(np.clip(start, *space.bounds))
    first, second = torch.zeros_like(points), torch.zeros_like(points)
    best, top = points.clone(), torch.full((len(points),), NEVER, dtype=torch.float64)
    for step in range(1, steps + 1):
        value, slope = _slope(torch, claim, space, points, whole, telling)
        better = value > top
        best, top = torch.where(better[:, None], points, best), torch.where(better, value, top)
        if time.monotonic() > deadline:
            break
        # In units of the box, one size of step suits every coordinate.
        slope = slope * width
        first = DECAY[0] * first + (1.0 - DECAY[0]) * slope
        second = DECAY[1] * second + (1.0 - DECAY[1]) * slope * slope
        mean, size = first / (1.0 - DECAY[0] ** step), torch.sqrt(second / (1.0 - DECAY[1] ** step))
        pace = STEPS[0] * (STEPS[1] / STEPS[0]) ** (step / steps)
        move = torch.where(size > 0, mean / torch.where(size > 0, size, 1.0), 0.0)
        points = torch.clamp(points + pace * width * move, low, high)
    return best.numpy(), top.numpy()


def _slope(torch: Array, claim: Claim, space: Space, points: Array, whole: bool, telling: bool) -> tuple[Array, Array]:
    """Excess (B,) and its gradient (B, 3K + 3) at the points; 0 where it is not finite."""
    points = points.detach().requires_grad_()
    value = excess(claim, space.facts(points, whole), telling)
    if not value.requires_grad:
        return value, torch.zeros_like(points)
    (slope,) = torch.autograd.grad(value.sum(), points)
    return value.detach(), torch.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0)
