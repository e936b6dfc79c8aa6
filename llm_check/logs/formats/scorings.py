"""Log-probabilities of given tokens (vLLM's prompt_logprobs, SGLang's input_token_logprobs), joined to draws by ids.

A scoring is of a whole sequence, prompt and step; a step's log-probability is the sum from its first token on. Entries
are picked by token id, never by rank: the top tokens stand beside the sequence's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gsi_theory.types import Json
from llm_check.logs.formats.unfit import Unfit

__all__ = ["MISSING_LOGP", "Scoring", "Scorings", "scoring_of_entries", "scoring_of_pairs"]

# vLLM serves -inf as this, because JSON has none.
MISSING_LOGP = -9999.0
_NAME = "prompt_logprobs"


@dataclass(frozen=True)
class Scoring:
    """`logps[j]`: token id to log-probability at place j; empty at the first, which has no context. `ids`: the
    sequence, where the log says it; None at places where it does not."""

    logps: tuple[Mapping[int, float], ...]
    ids: tuple[int | None, ...]
    model: str | None

    def of(self, ids: Sequence[int]) -> list[float] | None:
        """The log-probabilities of these tokens at places 1, 2, ...; None where this is not their scoring."""
        if len(ids) != len(self.logps) or any(
            own not in (None, other) for own, other in zip(self.ids, ids, strict=True)
        ):
            return None
        logps = [entries.get(token) for token, entries in zip(ids[1:], self.logps[1:], strict=True)]
        return None if None in logps else [float(logp) for logp in logps if logp is not None]


@dataclass(frozen=True)
class Scorings:
    """All scorings of an import, by length of the sequence, and the draws beside them."""

    by_length: dict[int, list[Scoring]] = field(default_factory=dict)

    def add(self, scoring: Scoring) -> None:
        self.by_length.setdefault(len(scoring.logps), []).append(scoring)

    def find(self, prompt: Sequence[int], step: Sequence[int]) -> tuple[list[float], str | None]:
        """(log-probabilities of the step's tokens, model). Raises Unfit where no scoring is of this sequence."""
        ids = [*prompt, *step]
        for scoring in self.by_length.get(len(ids), ()):
            logps = scoring.of(ids)
            if logps is not None:
                return logps[len(prompt) - 1 :], scoring.model
        raise Unfit(
            "token_ids", list(step), f"no {_NAME} of prompt and step, {len(ids)} tokens: score it, or leave it out"
        )


def _logp(value: Json, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(name, value, "give a log-probability")
    return -math.inf if value == MISSING_LOGP else float(value)


def _own(entries: Mapping[int, float], ranks: Mapping[int, Json]) -> int | None:
    """The sequence's own token at a place: the only one, or the one that its rank shows not to be a top one."""
    if len(entries) == 1:
        return next(iter(entries))
    # k top tokens have ranks 1 to k; one beyond k + 1 can only be the sequence's own
    beyond = [token for token, rank in ranks.items() if isinstance(rank, int) and rank > len(entries)]
    return beyond[0] if len(beyond) == 1 else None


def scoring_of_entries(rows: Sequence[Json], ids: Sequence[int] | None, model: str | None) -> Scoring:
    """vLLM's prompt_logprobs: null, then {token id as text: {logprob, rank}}. Raises Unfit for another shape."""
    logps: list[dict[int, float]] = []
    own: list[int | None] = []
    for place, row in enumerate(rows):
        name = f"{_NAME}.{place}"
        if row is None and place == 0:
            logps.append({})
            own.append(ids[0] if ids else None)
            continue
        if not isinstance(row, Mapping) or not row:
            raise Unfit(name, row, "null at the first token alone: give {token id: {logprob}}")
        entries, ranks = {}, {}
        for key, entry in row.items():
            if not str(key).isdecimal() or len(str(key)) > 9:
                raise Unfit(name, key, "give token ids as keys")
            value = entry.get("logprob") if isinstance(entry, Mapping) else entry
            entries[int(key)] = _logp(value, f"{name}.{key}.logprob")
            ranks[int(key)] = entry.get("rank") if isinstance(entry, Mapping) else None
        logps.append(entries)
        own.append(ids[place] if ids and place < len(ids) else _own(entries, ranks))
    return Scoring(tuple(logps), tuple(own), model)


def scoring_of_pairs(pairs: Sequence[Json], model: str | None) -> Scoring:
    """SGLang's input_token_logprobs: [logprob or null, token id, text]. Raises Unfit for another shape."""
    logps: list[dict[int, float]] = []
    ids: list[int | None] = []
    for place, pair in enumerate(pairs):
        name = f"input_token_logprobs.{place}"
        if not isinstance(pair, list) or len(pair) < 2 or isinstance(pair[1], bool) or not isinstance(pair[1], int):
            raise Unfit(name, pair, "give [logprob, token id, text]")
        logps.append({} if pair[0] is None and place == 0 else {pair[1]: _logp(pair[0], name)})
        ids.append(pair[1])
    return Scoring(tuple(logps), tuple(ids), model)
