"""What stops a format at an object of a log: it is unfit, or its draws depend on each other."""

from __future__ import annotations

from gsi_theory.types import Json

__all__ = ["NotIid", "Unfit"]


class Unfit(Exception):
    """An object of the log that is none of its format: field, value and the cure."""

    def __init__(self, name: str, value: Json, reason: str) -> None:
        super().__init__(reason)
        self.name, self.value, self.reason = name, value, reason


class NotIid(Exception):
    """Draws that depend on each other; the words say how, `number` at which line."""

    number: int = 0
