"""Rows of the schema from the draws that a format found: maps, casts, log-probabilities, numbers, text or none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gsi_theory.types import Json, Record
from llm_check.logs.formats.casts import cast_row
from llm_check.logs.formats.field_maps import FieldMap, mapped
from llm_check.logs.formats.log_format import Draw, Numbered, Reading
from llm_check.logs.formats.scorings import MISSING_LOGP
from llm_check.logs.formats.unfit import Unfit
from llm_check.logs.pools.pool_files import ABSENT, LeftOut, NumberedLine
from llm_check.logs.pools.schema import ONE, SOURCES

__all__ = ["log_rows"]

# So many tokens whose log-probabilities are exactly 0.0 and no others were not scored.
_ZEROS = 4


def _source(row: Record) -> str:
    """Who drew the row: what it says, else the one model unless there is a base's log-probability."""
    if row.get("source") is not None:
        return str(row["source"])
    if row.get("logp_base") is None and row.get("token_logp_base") is None:
        return ONE
    raise Unfit(
        "source", ABSENT, f"two models scored the row: --map source=@{SOURCES[0]}, or the field that says who drew"
    )


def _without_sentinel(value: float | None, drew: bool) -> float | None:
    """-inf for vLLM's -9999.0; missing where the model drew the token, for then it gave it mass."""
    return value if value != MISSING_LOGP else None if drew else -math.inf


def _token_logps(row: Record, name: str, drew: bool, masked: bool) -> list[float | None]:
    """The log-probabilities of the step's tokens, as many as it has. Raises Unfit where they are not."""
    values: list[float | None] = [_without_sentinel(value, drew) for value in row[name]]
    ids, tokens = row.get("token_ids"), row.get("n_tokens")
    count = len(ids) if ids is not None else tokens
    if len(values) > 1 and row[name][0] is None and count in (None, len(values) - 1):
        values = values[1:]  # of a token without context
    if count is not None and len(values) != count:
        padded = len(values) > count and not any(values[count:])
        cure = "padded with 0.0: cut it" if padded else "give one each"
        raise Unfit(name, row[name], f"{len(values)} log-probabilities of {count} tokens, {cure}")
    if not masked and len(values) >= _ZEROS and not any(value is None or value for value in values):
        raise Unfit(name, row[name], f"0.0 for every token: not scored, or greedy; --map {name}=@null leaves them out")
    return values


_SCORED = frozenset({"token_ids", *(f"{name}logp_{model}" for name in ("", "token_") for model in SOURCES)})


def _sentinel(row: Record) -> str | None:
    """A field that holds vLLM's -9999.0; None where none does."""
    names = (name for name in sorted(_SCORED & row.keys()))
    return next((n for n in names if MISSING_LOGP in (row[n] if isinstance(row[n], list) else [row[n]])), None)


def _scored(row: Record, source: str, masked: bool) -> None:
    """Fill in whole-step log-probabilities and numbers of tokens; take sentinels out. Raises Unfit."""
    if _SCORED.isdisjoint(row):
        return
    given, own = dict(row), "draft" if source == ONE else source
    for model in SOURCES:
        name, whole = f"token_logp_{model}", f"logp_{model}"
        if row.get(name) is not None:
            row[name] = values = _token_logps(row, name, model == own, masked)
            if row.get("n_tokens") is None:
                row["n_tokens"] = len(values)
            if row.get(whole) is None and values:
                row[whole] = None if None in values else math.fsum(v for v in values if v is not None)
        row[whole] = _without_sentinel(row.get(whole), model == own)
    if source != ONE and row.get(f"logp_{own}") is None and (sentinel := _sentinel(given)):
        raise Unfit(sentinel, MISSING_LOGP, "stands for -inf, but the model drew it: score it again")
    if row.get("n_tokens") is None and row.get("token_ids") is not None:
        row["n_tokens"] = len(row["token_ids"])


def _row(draw: Draw, maps: Sequence[FieldMap], number: int, reading: Reading, temperature: Json) -> Record:
    row = cast_row(mapped(draw, maps, number) if maps else draw.row)
    row["source"] = source = _source(row)
    _scored(row, source, "kept" in reading.facts)
    row["step"] = row.get("step") or 0
    if row.get("prompt_id") is None:
        raise Unfit("prompt_id", ABSENT, "--map prompt_id=FIELD; @line where each line is a prompt")
    if row.get("candidate") is None:
        draws = row.get("count")
        draws = 1 if draws is None else draws
        if draws < 0:
            raise Unfit("count", draws, "a row stands for at least 1 draw")
        row["candidate"] = reading.number_draws((row["prompt_id"], row["step"], source), draws)
    if row.get("sampling_temperature") is None:
        said = reading.facts.get("temperature") if temperature is None else temperature
        row["sampling_temperature"] = said if isinstance(said, int | float) and said > 0 else None
    return {name: value for name, value in row.items() if value is not None}


def _prompt(draw: Draw, maps: Sequence[FieldMap], number: int) -> str | None:
    """The prompt of a draw that is unfit otherwise; None where it does not say."""
    alone = Draw({name: value for name, value in draw.row.items() if name == "prompt_id"}, draw.parts, draw.place)
    try:
        prompt: str | None = cast_row(mapped(alone, [m for m in maps if m.field == "prompt_id"], number)).get(
            "prompt_id"
        )
    except Unfit:
        return None
    return prompt


def log_rows(
    draws: Numbered, maps: Sequence[FieldMap], reading: Reading, temperature: Json, text: bool
) -> Iterator[NumberedLine]:
    """(line, row) of every draw, in the types of the schema; in place of what is no row, a LeftOut.

    temperature: what was declared, for rows that say none; text: whether texts and token ids are kept.
    """
    for number, draw in draws:
        if isinstance(draw, LeftOut):
            yield number, draw
            continue
        try:
            row = _row(draw, maps, number, reading, temperature)
        except Unfit as unfit:
            yield number, LeftOut(number, unfit.name, unfit.value, unfit.reason, _prompt(draw, maps, number))
            continue
        if not text:
            for name in ("text", "token_ids", "token_logp_draft", "token_logp_base"):
                row.pop(name, None)
        yield number, row
