"""What a file says of its draws: declared by who imports, or found in the log; checked, and without credentials.

gsi import LOG... --fact temperature=0.8 --fact engine=vllm --fact logprobs=processed --fact iid=true
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from gsi_theory.errors import InputError, require_name
from gsi_theory.runs.credentials import scrubbed
from gsi_theory.runs.json_input import shown
from gsi_theory.types import Json, Record

__all__ = ["FACTS", "parse_facts"]

_LONGEST = 300


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not (low <= value <= high and math.isfinite(value)):
            raise ValueError
        return value

    return read


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _raw_or_processed(text: str) -> str:
    return {"raw": "raw", "processed": "processed"}[text.lower()]


def _words(text: str) -> str:
    if not text.strip() or len(text) > _LONGEST:
        raise ValueError
    return str(scrubbed(text.strip()))


# name -> what reads its text, and what it is
FACTS: dict[str, tuple[Callable[[str], Json], str]] = {
    "iid": (_truth, "true or false: independent draws of one law for each prompt"),
    "how": (_words, "words: how they were drawn"),
    "temperature": (_number(0.0, 1e6), "a number, at least 0"),
    "top_p": (_number(0.0, 1.0), "a number in [0, 1]"),
    "top_k": (int, "a whole number"),
    "min_p": (_number(0.0, 1.0), "a number in [0, 1]"),
    "engine": (_words, "its name"),
    "version": (_words, "the engine's version"),
    "model": (_words, "the model's name"),
    "base_model": (_words, "the base's name"),
    "logprobs": (_raw_or_processed, "raw or processed: before or after temperature and truncation"),
    "seed": (int, "a whole number"),
}


def parse_facts(texts: Sequence[str]) -> Record:
    """Facts from NAME=VALUE. Raises InputError for an unknown name, one given twice, or a value of another kind."""
    facts: Record = {}
    for text in texts:
        name, equals, value = text.partition("=")
        require_name(name, "--fact", FACTS)
        read, kind = FACTS[name]
        if name in facts:
            raise InputError(f"--fact {name} is given twice: give it once")
        try:
            facts[name] = read(value) if equals else None
        except (ValueError, KeyError, OverflowError):
            facts[name] = None
        if facts[name] is None:
            raise InputError(f"--fact {name}={shown(value)}: give {kind}")
    return facts
