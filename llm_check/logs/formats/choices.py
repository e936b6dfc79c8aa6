"""Responses with a list of choices, as OpenAI-compatible servers answer: completions and chats, batches of either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gsi_theory.types import Json, Record
from llm_check.logs.formats.log_format import Draw, Reading, member, optional
from llm_check.logs.formats.unfit import Unfit

__all__ = ["ResponseChoice", "choices_of", "draw_of", "listed_choices"]


class ResponseChoice(NamedTuple):
    """One choice: the objects around it, nearest first, its response's prompt, and its place in the response."""

    body: Record
    parts: tuple[Mapping[str, Json], ...]
    prompt_id: str
    place: int


def _response(entry: Record) -> tuple[Record, tuple[Record, ...]]:
    """(the response, what stands around it): bare, under "response", or in a line of a batch, under "response.body"."""
    around: tuple[Record, ...] = (entry,)
    if "choices" not in entry and "outputs" not in entry and isinstance(entry.get("response"), dict):
        entry = entry["response"]
        around = (entry, *around)
        if isinstance(entry.get("body"), dict):
            entry = entry["body"]
            around = (entry, *around)
    if isinstance(error := entry.get("error"), dict | str):
        raise Unfit("error", error, "the request failed: ask again, or leave the line out")
    return entry, around


def choices_of(entry: Record, number: int, reading: Reading) -> list[ResponseChoice]:
    """The choices of a response in the order of their index; vLLM's offline `outputs` too.

    The prompt is the line's custom_id, else the response's id, which may stand once, else the line's number. Raises
    Unfit.
    """
    response, around = _response(entry)
    choices = member(response, "outputs" if "outputs" in response and "choices" not in response else "choices", list)
    name = next((n for n in ("id", "request_id") if response.get(n) is not None), None)
    if name:
        reading.once(name, str(response[name]), number)
    prompt = entry.get("custom_id", response[name] if name else reading.line_name(number))
    if isinstance(prompt, dict | list | bool):
        raise Unfit("custom_id", prompt, "give text or a number")
    model = response.get("model")
    reading.fact("model", model if isinstance(model, str) else None)
    return listed_choices(choices, around, str(prompt))


def listed_choices(choices: list[Json], around: tuple[Mapping[str, Json], ...], prompt_id: str) -> list[ResponseChoice]:
    """The choices of a list in the order of their index, or as they stand where they have none. Raises Unfit."""
    found = []
    for place, choice in enumerate(choices):
        if not isinstance(choice, dict):
            raise Unfit(f"choices.{place}", choice, "give an object")
        index = optional(choice, "index", int, f"choices.{place}")
        found.append(ResponseChoice(choice, (choice, *around), prompt_id, place if index is None else index))
    if len({choice.place for choice in found}) < len(found):
        raise Unfit(
            "choices.index", [choice.place for choice in found], "an index stands twice: keep one choice of each"
        )
    return sorted(found, key=lambda choice: choice.place)


def _content(message: Record) -> str | None:
    """The text of a message: text, or parts of which some are text."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    if content is not None and not isinstance(content, str):
        raise Unfit("message.content", content, "give text")
    return content


def _token_logps(choice: Record) -> list[Json] | None:
    logprobs = choice.get("logprobs")
    if logprobs is None:
        return None
    if isinstance(logprobs, list):  # vLLM offline: {token id: {logprob}} of each token
        return _offline(logprobs, optional(choice, "token_ids", list))
    if not isinstance(logprobs, dict):
        raise Unfit("logprobs", logprobs, "give an object")
    if logprobs.get("token_logprobs") is not None:
        return list(member(logprobs, "token_logprobs", list, "logprobs"))
    content = optional(logprobs, "content", list, "logprobs")
    if content is None:
        return None
    for place, token in enumerate(content):
        if not isinstance(token, dict) or "logprob" not in token:
            raise Unfit(f"logprobs.content.{place}", token, "give an object with a logprob")
    return [token["logprob"] for token in content]


def _offline(rows: list[Json], ids: list[Json] | None) -> list[Json]:
    if ids is None or len(ids) != len(rows):
        raise Unfit("logprobs", rows, "give token_ids beside it, one for each")
    values = []
    for place, (token, row) in enumerate(zip(ids, rows, strict=True)):
        entry = row.get(str(token)) if isinstance(row, dict) else None
        if not isinstance(entry, dict):
            raise Unfit(f"logprobs.{place}", row, f"no entry of token id {token}")
        values.append(entry.get("logprob"))
    return values


def draw_of(choice: ResponseChoice, reading: Reading) -> Draw:
    """The draw of a choice. Raises Unfit."""
    body = choice.body
    message = optional(body, "message", dict)
    row: Record = {
        "prompt_id": choice.prompt_id,
        "text": _content(message) if message is not None else optional(body, "text", str),
        "finish_reason": optional(body, "finish_reason", str),
        "token_ids": optional(body, "token_ids", list),
        "token_logp_draft": _token_logps(body),
        "logp_draft": optional(body, "cumulative_logprob", float),
    }
    return Draw(row, choice.parts, choice.place)
