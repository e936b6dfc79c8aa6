"""Test profiles: HYPOTHESIS_PROFILE=thorough runs ten times as many examples; both are derandomized."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

_COMMON = {"deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("quick", max_examples=60, **_COMMON)
settings.register_profile("thorough", max_examples=600, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# A shell starts background jobs with interrupts ignored, and their children inherit it: tests send interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
