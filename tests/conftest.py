"""Test profiles: HYPOTHESIS_PROFILE=thorough runs ten times as many examples; both are derandomized.

Tests run in as many processes as there are cores, so that threads of one would wait for those of another: with two
processes on two cores, models took three times as long. Processes that tests start inherit it.
"""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

for _library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_library, "1")

_COMMON = {"deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("quick", max_examples=60, **_COMMON)
settings.register_profile("thorough", max_examples=600, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# A shell starts background jobs with interrupts ignored, and their children inherit it: tests send interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
