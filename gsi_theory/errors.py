"""The one exception that bad input raises anywhere in the project."""

from __future__ import annotations

__all__ = ["InputError"]


class InputError(ValueError):
    """Bad input: one line that names the value received, the place it came from, and the cure.

    The command line prints the message without a traceback and exits with status 2.
    """
