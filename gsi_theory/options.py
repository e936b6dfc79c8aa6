"""What the commands share: `--set key=value` options, and the panels by which `--help` groups the others."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from gsi_theory.errors import InputError

__all__ = ["OUTPUT", "RUN", "read_pairs", "set_options"]

# Panels of --help; what a command computes stays in the first, "Options".
OUTPUT = "Output"
RUN = "Seed, speed, stopping"


def read_pairs(pairs: Sequence[str]) -> dict[str, str]:
    """{"key": "value"} from "key=value" texts; InputError for a text without "=" or without a key."""
    settings: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--set {pair!r}: give key=value")
        settings[key] = value
    return settings


def set_options(settings: Mapping[str, str]) -> str:
    """The options that give these settings, each with a leading blank, quoted for a shell."""
    return "".join(f" --set {shlex.quote(f'{key}={value}')}" for key, value in settings.items())
