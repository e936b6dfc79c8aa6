"""How much slower than its roofline (M33) a device is, from two timings of the user's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gsi_theory.errors import InputError
from gsi_theory.runs.costs import Device, Slowdown, Trio, pass_seconds, require_context

__all__ = ["calibrate"]


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
