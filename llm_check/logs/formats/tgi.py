"""`tgi`: answers of text-generation-inference's /generate with details; one answer is one prompt, its line its name.

With `best_of`, the server answers the sequence of largest log-probability and lists the others: all of them together
are independent draws, the winner alone is not.
"""

from __future__ import annotations

from collections.abc import Iterator

from gsi_theory.types import Json, Record
from llm_check.logs.formats.documents import Documents
from llm_check.logs.formats.log_format import Draw, LogFormat, Numbered, Reading, draws_of, member, optional
from llm_check.logs.formats.unfit import Unfit

__all__ = ["TGI"]

_REASONS = {"eos_token": "eos", "stop_sequence": "stop"}


def _row(text: Json, details: Record, prompt: str) -> Record:
    tokens = optional(details, "tokens", list, "details")
    for place, token in enumerate(tokens or ()):
        if not isinstance(token, dict) or "logprob" not in token or "id" not in token:
            raise Unfit(f"details.tokens.{place}", token, "give an object with id and logprob")
    reason = optional(details, "finish_reason", str, "details")
    row: Record = {"prompt_id": prompt, "text": text, "finish_reason": _REASONS.get(reason, reason)}
    row["n_tokens"] = optional(details, "generated_tokens", int, "details")
    if tokens is not None:
        row["token_ids"] = [token["id"] for token in tokens]
        row["token_logp_draft"] = [token["logprob"] for token in tokens]
    return row


def _rows(objects: Documents, reading: Reading) -> Numbered:
    def of_answer(number: int, entry: Record) -> Iterator[Draw]:
        details = optional(entry, "details", dict) or {}
        text = member(entry, "generated_text", str)
        parameters = entry.get("parameters")
        best_of = parameters.get("best_of") if isinstance(parameters, dict) else None
        others = optional(details, "best_of_sequences", list, "details") or []
        if isinstance(best_of, int) and best_of > 1 + len(others):
            reading.dependent(f"best_of {best_of} of TGI: the sequence of largest log-probability alone")
        prompt = reading.line_name(number)
        yield Draw(_row(text, details, prompt), (entry, details))
        if others:
            reading.fact("order", "best_of: the sequence of largest log-probability stands first")
        for index, other in enumerate(others, start=1):
            if not isinstance(other, dict):
                raise Unfit(f"details.best_of_sequences.{index - 1}", other, "give an object")
            yield Draw(_row(optional(other, "generated_text", str), other, prompt), (other, entry), index)

    reading.fact("engine", "tgi")
    return draws_of(objects, of_answer)


TGI = LogFormat("tgi", "answers of text-generation-inference, with details", _rows, iid=True)
