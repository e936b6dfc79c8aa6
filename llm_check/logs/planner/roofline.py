"""Seconds of one step by a roofline: every forward pass takes the longer of reading its bytes and doing its arithmetic.

A pass over b sequences of t new tokens each after a context of c tokens, for a model of P parameters:

    bytes       2 P + b (c + t) κ            bfloat16 weights once, keys and values (κ bytes a token) of each sequence
    operations  2 P b t
    seconds     max(bytes/bandwidth, operations/peak) + overhead

Decoding a step of L tokens is L passes of t = 1; scoring it one pass of t = L. A step of GSI: the draft decodes n
sequences, base and reward model score n; on rejection the base decodes n_B and the reward model scores them. One draft
without a gate is neither scored nor judged (M33). Sequences of one batch end at different times: the batch lasts as
long as its longest, `longest_over_mean` times the mean.

Left out: attention arithmetic, sampling, tokenization, text passing between processes, transfers between devices,
imperfect use of bandwidth. A roofline is a lower bound; `Calibration` scales it to two timings of the user's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.errors import InputError
from gsi_theory.types import Floats

__all__ = ["DEVICES", "SHAPES", "Calibration", "Device", "Shape", "Trio", "calibrate", "gsi_seconds", "main",
           "soft_bon_seconds", "table"]  # fmt: skip


@dataclass(frozen=True)
class Device:
    """bandwidth in bytes/s, peak in dense bfloat16 operations/s, overhead in seconds a pass."""

    bandwidth: float
    peak: float
    overhead: float = 0.0


# NVIDIA's data sheets: memory bandwidth, and dense (not sparse) bfloat16 tensor-core throughput.
DEVICES: dict[str, Device] = {
    "b200": Device(8.0e12, 2.25e15),       # Blackwell architecture brief, HGX B200, per GPU
    "h200": Device(4.8e12, 0.989e15),      # H200 SXM data sheet
    "h100": Device(3.35e12, 0.989e15),     # H100 SXM data sheet
    "h100-pcie": Device(2.0e12, 0.756e15),  # H100 PCIe data sheet
    "a100": Device(2.039e12, 0.312e15),    # A100 80 GB SXM data sheet
    "l40s": Device(0.864e12, 0.362e15),    # L40S data sheet
    "a10": Device(0.6e12, 0.125e15),       # A10 data sheet
    "rtx4090": Device(1.008e12, 0.165e15),  # Ada architecture white paper, FP32 accumulation
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """Parameters, and bytes of keys and values a token: 2 · layers · key-value heads · head size · 2 bytes."""

    parameters: float
    cache_bytes: float


def _shape(parameters: float, layers: int, heads: int, size: int = 128) -> Shape:
    return Shape(parameters, 4.0 * layers * heads * size)


# config.json of each model: parameters, layers, key-value heads
SHAPES: dict[str, Shape] = {
    "qwen2.5-math-1.5b": _shape(1.54e9, 28, 2),
    "qwen2.5-math-7b": _shape(7.62e9, 28, 4),
    "qwen2.5-math-prm-7b": _shape(7.08e9, 28, 4),
    "qwen3-1.7b": _shape(1.72e9, 28, 8),
    "qwen3-14b": _shape(14.8e9, 40, 8),
}


@dataclass(frozen=True)
class Trio:
    """Draft, base and reward model."""

    draft: Shape
    base: Shape
    reward: Shape


@dataclass(frozen=True)
class Calibration:
    """How much slower than the roofline: factors on passes of the draft and on those of the base and reward model.

    Raises InputError unless they are positive and finite.
    """

    draft: float = 1.0
    base: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < np.inf:
                raise InputError(f"{name} passes scaled by {value!r}: give a positive number")


@np.errstate(over="ignore")
def _pass(shape: Shape, device: Device, sequences: ArrayLike, tokens: ArrayLike, context: ArrayLike) -> Floats:
    """Seconds of one forward pass."""
    rows, new, before = (np.asarray(v, dtype=np.float64) for v in (sequences, tokens, context))
    size = 2.0 * shape.parameters + rows * (before + new) * shape.cache_bytes
    return np.maximum(size / device.bandwidth, 2.0 * shape.parameters * rows * new / device.peak) + device.overhead


def _decode(shape: Shape, device: Device, sequences: ArrayLike, length: ArrayLike, context: float) -> Floats:
    """Seconds to decode `length` tokens for each sequence; the cache is taken at its middle length."""
    passes = np.asarray(length, dtype=np.float64)
    return passes * _pass(shape, device, sequences, 1.0, context + passes / 2.0)


@np.errstate(over="ignore", invalid="ignore")
def gsi_seconds(
    trio: Trio,
    device: Device,
    n: ArrayLike,
    n_base: ArrayLike,
    p_reject: ArrayLike,
    draft_tokens: ArrayLike,
    base_tokens: ArrayLike,
    context: float = 500.0,
    longest_over_mean: float = 1.0,
    calibration: Calibration = Calibration(),
    alone: ArrayLike = False,
) -> Floats:
    """Expected seconds of one GSI step; arguments broadcast (candidates, P(reject), mean tokens of a step).

    alone: neither scored nor judged, as in `step_cost` (one draft without a gate). Raises InputError for a context that
    is negative or not finite, and where seconds exceed the range of numbers.
    """
    _check_context(context)
    n, n_base, p_reject = (np.asarray(v, dtype=np.float64) for v in (n, n_base, p_reject))
    draft_tokens, base_tokens = (np.asarray(v, dtype=np.float64) for v in (draft_tokens, base_tokens))
    drafting = _decode(trio.draft, device, n, draft_tokens * longest_over_mean, context)
    scoring = _pass(trio.base, device, n, draft_tokens, context) + _pass(trio.reward, device, n, draft_tokens, context)
    return _finite(
        calibration.draft * drafting
        + np.where(np.asarray(alone), 0.0, calibration.base * scoring)
        + p_reject * soft_bon_seconds(trio, device, n_base, base_tokens, context, longest_over_mean, calibration)
    )


@np.errstate(over="ignore", invalid="ignore")
def soft_bon_seconds(
    trio: Trio,
    device: Device,
    n: ArrayLike,
    tokens: ArrayLike,
    context: float = 500.0,
    longest_over_mean: float = 1.0,
    calibration: Calibration = Calibration(),
) -> Floats:
    """Seconds of one step of soft best-of-n on the base: decoding n, judging n. Errors as `gsi_seconds`."""
    _check_context(context)
    length = np.asarray(tokens, dtype=np.float64)
    decoding = _decode(trio.base, device, n, length * longest_over_mean, context)
    return _finite(calibration.base * (decoding + _pass(trio.reward, device, n, length, context)))


def _check_context(context: float) -> None:
    if not 0 <= context < np.inf:
        raise InputError(f"context of {context!r} tokens: give a finite number, 0 or more")


def _finite(seconds: Floats) -> Floats:
    if not np.isfinite(seconds).all():
        raise InputError("seconds of a step exceed the range of numbers: give fewer tokens or shorter timings")
    return seconds


def calibrate(
    trio: Trio, device: Device, draft_token: float, base_token: float, n: float, context: float
) -> Calibration:
    """From two measured timings: seconds a token when the draft, and the base, decode n sequences.

    Raises InputError for an n that is no whole number from 1, a context that is negative or not finite, and a timing
    that is not finite or beats the roofline (another device, or not seconds).
    """
    if not 1 <= n < np.inf or n != np.floor(n):
        raise InputError(f"timings of a batch of n = {n!r}: give a whole number from 1")
    _check_context(context)
    factors = []
    for name, seconds, shape in (("draft", draft_token, trio.draft), ("base", base_token, trio.base)):
        bound = float(_pass(shape, replace(device, overhead=0.0), n, 1.0, context))
        if not np.isfinite(seconds):
            raise InputError(f"{name} timing {seconds!r} s a token: give measured seconds, a finite number")
        if seconds < bound:
            raise InputError(
                f"{name} timing {seconds!r} s a token is below the roofline {bound:.3g} s of this device: give seconds "
                "a token for a batch of n, measured on this device"
            )
        factors.append(seconds / bound)
    return Calibration(*factors)


SETUPS = {
    "Qwen2.5-Math 1.5B/7B/PRM 7B on H100": ("qwen2.5-math-1.5b", "qwen2.5-math-7b", "qwen2.5-math-prm-7b", "h100"),
    "Qwen3 1.7B/14B/PRM 7B on A100": ("qwen3-1.7b", "qwen3-14b", "qwen2.5-math-prm-7b", "a100"),
}


def table(
    ns: tuple[int, ...] = (4, 16, 64),
    lengths: tuple[float, ...] = (25, 50, 100, 200),
    accepts: tuple[float, ...] = (1.0, 0.9, 0.75, 0.5),
    context: float = 500.0,
) -> list[dict[str, float | str]]:
    """Seconds a step of GSI and of soft best-of-n on the base for SETUPS, by n, step length and acceptance."""
    rows: list[dict[str, float | str]] = []
    for name, (draft, base, reward, device) in SETUPS.items():
        trio = Trio(SHAPES[draft], SHAPES[base], SHAPES[reward])
        for n in ns:
            for length in lengths:
                soft = float(soft_bon_seconds(trio, DEVICES[device], n, length, context))
                for accept in accepts:
                    own = float(gsi_seconds(trio, DEVICES[device], n, n, 1.0 - accept, length, length, context))
                    rows.append({"setup": name, "n": n, "tokens": length, "p_accept": accept, "gsi": own,
                                 "soft_best_of_n": soft, "ratio": own / soft})  # fmt: skip
    return rows


def main() -> None:
    """Print `table`: python -m llm_check.logs.planner.roofline."""
    for row in table():
        what = f"{row['setup']:38} n {row['n']:>3} tokens {row['tokens']:>4} p_accept {row['p_accept']:<5}"
        print(f"{what} GSI {row['gsi']:.4f} s  soft best-of-n {row['soft_best_of_n']:.4f} s  ratio {row['ratio']:.2f}")


if __name__ == "__main__":
    main()
