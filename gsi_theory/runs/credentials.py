"""What may be a credential, taken out of what is recorded or printed."""

from __future__ import annotations

import re

from gsi_theory.types import Json

__all__ = ["scrubbed"]

_USER = re.compile(r"([a-z][a-z0-9+.-]*://)[^/\s@]*@", re.IGNORECASE)
_QUERY = re.compile(r"([a-z][a-z0-9+.-]*://[^\s?#]*)[?#][^\s\"']*", re.IGNORECASE)
_KEY = re.compile(r"\b(?:sk|hf|ghp|gsk|pat|xoxb)[-_][A-Za-z0-9_-]{8,}|\bBearer\s+\S+", re.IGNORECASE)


def scrubbed(value: Json) -> Json:
    """The value without what may be a credential: users, passwords and queries of URLs, and keys of common services."""
    if isinstance(value, str):
        text = _QUERY.sub(r"\1", _USER.sub(r"\1", value))
        return _KEY.sub("(key)", text)
    if isinstance(value, list | tuple):
        return [scrubbed(part) for part in value]
    if isinstance(value, dict):
        return {str(name): scrubbed(part) for name, part in value.items()}
    return value
