"""Seconds of a step (M33) from timings: how much slower than its roofline a device is, from two timings of the user's
own; and the overheads of three models in their engines, from calls that `gsi check lm_seconds` times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import read_artifact
from gsi_theory.runs.costs import (
    MEASURED,
    Device,
    Overhead,
    Overheads,
    Shape,
    Slowdown,
    Trio,
    drawing_seconds,
    pass_seconds,
    reading_seconds,
    require_context,
)
from gsi_theory.types import Record

__all__ = ["Timing", "calibrate", "fitted_overhead", "read_costs"]

_FITTED = ("call", "step", "drawn", "read")
_SHAPE = ("parameters", "cache_bytes", "attention")
_ROLES = ("draft", "base", "reward")


def calibrate(trio: Trio, device: Device, draft_token: float, base_token: float, n: float, context: float) -> Slowdown:
    """From two measured timings: seconds a token when the draft, and the base, decode n sequences.

    Raises InputError for an n that is no whole number from 1, a context that is negative or not finite, and a timing
    that is not finite or beats the roofline (another device, or not seconds).
    """
    if not 1 <= n < np.inf or n != np.floor(n):
        raise InputError(f"timings of a batch of n = {n!r}: give a whole number from 1")
    require_context(context)
    factors = []
    for name, seconds, shape in (("draft", draft_token, trio.draft), ("base", base_token, trio.base)):
        bound = float(pass_seconds(shape, replace(device, overhead=0.0), n, 1.0, context))
        if not np.isfinite(seconds):
            raise InputError(f"{name} timing {seconds!r} s a token: give measured seconds, a finite number")
        if seconds < bound:
            raise InputError(
                f"{name} timing {seconds!r} s a token is below the roofline {bound:.3g} s of this device: give seconds "
                "a token for a batch of n, measured on this device"
            )
        factors.append(seconds / bound)
    return Slowdown(*factors)


@dataclass(frozen=True)
class Timing:
    """Measured seconds of one call: `sequences` steps of `tokens` tokens drawn, or else scored or judged, after
    `context` tokens of which the last `new` were new to the model."""

    drawn: bool
    sequences: int
    tokens: float
    context: float
    new: float
    seconds: float


def fitted_overhead(shape: Shape, timings: Sequence[Timing]) -> Overhead:
    """The overhead that holds all a model's time (`MEASURED`, M33), from its timings at two settings or more.

    Non-negative least squares of relative errors, the better of two: whether the context is read again with every
    candidate (`again`), which shows where calls of several numbers of candidates are timed. A model that never draws (a
    reward model) has step and drawn 0. Raises InputError for seconds that are not positive and finite.
    """
    for timing in timings:
        if not 0 < timing.seconds < np.inf:
            raise InputError(f"a timing of {timing.seconds!r} s: give measured seconds, a positive number")
    found = [_fit(shape, timings, again) for again in (False, True)]
    return min(found, key=lambda fit: fit[1])[0]


def _fit(shape: Shape, timings: Sequence[Timing], again: bool) -> tuple[Overhead, float]:
    """The overhead and the size of its relative errors."""
    rows = []
    for timing in timings:
        given = timing.sequences, timing.tokens, timing.context, timing.new
        seconds = drawing_seconds if timing.drawn else reading_seconds
        unit = [float(seconds(shape, MEASURED, _overhead({name: 1.0, "again": again}), *given)) for name in _FITTED]
        rows.append(np.array(unit) / timing.seconds)
    found, off = nnls(np.array(rows), np.ones(len(rows)))
    return _overhead(dict(zip(_FITTED, found.tolist(), strict=True)) | {"again": again}), float(off)


def _overhead(parts: Record) -> Overhead:
    return Overhead(**parts)


def read_costs(path: Path) -> tuple[Trio, Overheads]:
    """Shapes and overheads of three models, from the artifact that `gsi check lm_seconds` writes.

    Raises InputError where the file is no such artifact.
    """
    try:
        artifact = read_artifact(path, "lm_seconds")
        models = artifact.tables["models"]
        by_role = {role: {key: column[i] for key, column in models.items()} for i, role in enumerate(models["role"])}
        shapes = [Shape(*(float(by_role[role][key]) for key in _SHAPE)) for role in _ROLES]
        draft, base, reward = (
            _overhead({k: float(by_role[role][k]) for k in _FITTED} | {"again": bool(by_role[role]["again"])})
            for role in _ROLES
        )
        overheads = Overheads(draft, base, reward, float(artifact.summary["selection"]))
    except (OSError, KeyError, TypeError, ValueError) as error:
        cure = "give the lm_seconds.json that gsi check lm_seconds writes"
        raise InputError(f"{path} holds no measured seconds ({error}): {cure}") from error
    return Trio(*shapes), overheads
