"""Checks and padding of the rows that `Facts.batch` takes; InputError names the array, the place and the cure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gsi_theory.arrays.logscale import log_sum
from gsi_theory.arrays.namespace import as_arrays, highest, host, lowest, sum_tolerance
from gsi_theory.errors import InputError
from gsi_theory.instance import ROUNDING
from gsi_theory.laws.draws import MOST
from gsi_theory.types import Array, Namespace

__all__ = ["checked_rows"]

VECTORS = ("log_draft", "log_base", "reward")


def checked_rows(values: Mapping[str, Array], real_n: bool) -> dict[str, Array]:
    """log_draft, log_base, reward (..., K) and beta, threshold, n, n_base (...), checked, normalized, of one shape."""
    xp, arrays = as_arrays(**values)
    given = dict(zip(values, arrays, strict=True))
    shape = _common_shape(given)
    rows = {k: xp.broadcast_to(v, shape if k in VECTORS else shape[:-1]) for k, v in given.items()}
    tolerance = {name: sum_tolerance(values[name]) for name in ("log_draft", "log_base")}
    _check(rows, real_n, tolerance)
    for name, room in tolerance.items():
        rows[name] = _policy(xp, rows[name], name, room)
    rows["reward"] = _filled(xp, *(rows[k] for k in VECTORS))
    return rows


def _common_shape(given: dict[str, Array]) -> tuple[int, ...]:
    shapes = {k: tuple(v.shape) for k, v in given.items()}
    vectors = [shapes.pop(k) for k in VECTORS]
    try:
        shape = np.broadcast_shapes(*vectors)
        batch = np.broadcast_shapes(shape[:-1], *shapes.values())
        fits = min(map(len, vectors)) > 0 and {s[-1] for s in vectors} == {shape[-1]} and 0 not in (*batch, shape[-1])
    except ValueError:
        fits = False
    if not fits:
        told = ", ".join(f"{k} {tuple(v.shape)}" for k, v in given.items())
        raise InputError(f"{told}: give policies and reward (..., K), the others (...), that broadcast; K, rows ≥ 1")
    return (*batch, shape[-1])


def _check(given: dict[str, Array], real_n: bool, tolerance: Mapping[str, float]) -> None:
    """InputError naming the first bad entry; one pass each while all is well."""
    least, most = -np.inf, np.finfo(np.float64).max
    ranges = {
        "reward": (-most, most, "give finite rewards"),
        "log_draft": (least, tolerance["log_draft"], "give log-probabilities (-inf: no mass)"),
        "log_base": (least, tolerance["log_base"], "give log-probabilities (-inf: no mass)"),
        "beta": (0.0, most, "give finite numbers ≥ 0"),
        "n": (1.0, MOST, "give numbers from 1 to 2^53"),
        "n_base": (1.0, MOST, "give numbers from 1 to 2^53"),
    }
    for name, (low, high, cure) in ranges.items():
        if not (lowest(given[name]) >= low and highest(given[name]) <= high):
            values = host(given[name])
            _refuse(~((values >= low) & (values <= high)), values, name, cure)
    for name in () if real_n else ("n", "n_base"):
        values = host(given[name])
        _refuse(values != np.round(values), values, name, "give whole numbers, or real_n=True")


def _refuse(bad: np.ndarray, values: np.ndarray, name: str, cure: str) -> None:
    for place in np.argwhere(bad)[:1]:
        raise InputError(f"{name}[{', '.join(map(str, place))}] = {values[tuple(place)]!r}: {cure}")


def _policy(xp: Namespace, log_prob: Array, name: str, tolerance: float) -> Array:
    """Normalized like Instance: what sums to one to rounding stays as it is."""
    total = log_sum(log_prob)
    values = host(total)
    _refuse(~(np.abs(values) <= tolerance), values, f"log Σ exp({name})", "give policies, each summing to 1")
    return xp.where((xp.abs(total) > ROUNDING)[..., None], log_prob - total[..., None], log_prob)


def _filled(xp: Namespace, log_draft: Array, log_base: Array, reward: Array) -> Array:
    """Rewards with those of padding replaced by the row's first other one: they must not widen osc(r)."""
    real = xp.isfinite(log_draft) | xp.isfinite(log_base)
    if bool(xp.all(real)):
        return reward
    first = xp.argmax(xp.astype(real, xp.float64), axis=-1)
    filler = xp.take_along_axis(reward, first[..., None], axis=-1)
    return xp.where(real, reward, filler)
