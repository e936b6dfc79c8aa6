"""`vllm`: responses of vLLM's servers (completions, chats), outputs of its offline engine, and scorings.

Values are raw (T = 1) unless the server ran with --logprobs-mode processed_logprobs: `--fact logprobs=processed` says
so. -9999.0 stands for -inf: a drawn token's is missing, a scored token's is -inf. Where the logs hold draws and answers
with `prompt_logprobs`, the latter are the base's scorings of the draws, joined by token ids (ask for
`return_token_ids`), and the log is of two models; scorings alone are rows of their own.
"""

from __future__ import annotations

from collections.abc import Iterator

from gsi_theory.types import Json, Record
from llm_check.logs.formats.choices import ResponseChoice, choices_of, draw_of
from llm_check.logs.formats.documents import Documents
from llm_check.logs.formats.log_format import Draw, LogFormat, Numbered, Reading, draws_of, optional
from llm_check.logs.formats.scorings import Scoring, scoring_of_entries
from llm_check.logs.formats.unfit import Unfit
from llm_check.logs.pools.pool_files import ABSENT

__all__ = ["VLLM"]


def _ids(choice: ResponseChoice, name: str) -> list[int] | None:
    ids: list[Json] | None = next((part[name] for part in choice.parts if part.get(name) is not None), None)
    if ids is not None and (not isinstance(ids, list) or any(type(token) is not int for token in ids)):
        raise Unfit(name, ids, "give token ids")
    return ids


def _scored(choice: ResponseChoice) -> list[Json] | None:
    """The choice's prompt_logprobs where it is a scoring: asked for nothing more than one token."""
    rows = next((part["prompt_logprobs"] for part in choice.parts if part.get("prompt_logprobs") is not None), None)
    if rows is None:
        return None
    if not isinstance(rows, list) or not rows:
        raise Unfit("prompt_logprobs", rows, "give a list, null first")
    drawn = optional(choice.body, "token_ids", list)
    alone = not choice.body.get("text") or choice.body.get("logprobs") is None if drawn is None else len(drawn) <= 1
    return rows if alone else None


def _scoring(choice: ResponseChoice, rows: list[Json]) -> Scoring:
    model = next((part["model"] for part in choice.parts if isinstance(part.get("model"), str)), None)
    return scoring_of_entries(rows, _ids(choice, "prompt_token_ids"), model)


def _note_scorings(objects: Documents, reading: Reading) -> None:
    def of_response(number: int, entry: Record) -> Iterator[Draw]:
        for choice in choices_of(entry, number, Reading()):
            rows = _scored(choice)
            if rows is None:
                reading.draws.append(number)
            else:
                reading.scorings.add(_scoring(choice, rows))
        return iter(())

    for _ in draws_of(objects, of_response):  # faults are told by the rows
        pass


def _scoring_alone(choice: ResponseChoice, rows: list[Json]) -> Draw:
    """A scoring as a row: the sequence from its second token on, given the first."""
    scoring = _scoring(choice, rows)
    own = [token for token in scoring.ids[1:] if token is not None]
    if len(own) < len(scoring.ids) - 1:
        place = scoring.ids.index(None, 1)
        raise Unfit(f"prompt_logprobs.{place}", rows[place], "whose token it is shows no id: ask for return_token_ids")
    logps = [entries[token] for entries, token in zip(scoring.logps[1:], own, strict=True)]
    row: Record = {"prompt_id": choice.prompt_id, "text": "", "token_ids": own, "token_logp_draft": logps}
    return Draw(row | {"finish_reason": optional(choice.body, "finish_reason", str)}, choice.parts, choice.place)


def _rows(objects: Documents, reading: Reading) -> Numbered:
    def of_response(number: int, entry: Record) -> Iterator[Draw]:
        for choice in choices_of(entry, number, reading):
            scored = _scored(choice)
            if scored is not None:
                if not reading.draws:
                    reading.note("scorings alone, with no draws beside them: rows are whole sequences")
                    reading.facts |= {"iid": False, "how": "given sequences, scored, not drawn"}
                    yield _scoring_alone(choice, scored)
                continue
            draw = draw_of(choice, reading)
            row = draw.row
            if row["finish_reason"] == "stop" and choice.body.get("stop_reason", "") is None:
                row["finish_reason"] = "eos"
            prompt = _ids(choice, "prompt_token_ids")
            logps = row["token_logp_draft"]
            if logps and logps[0] is None and prompt and row["token_ids"]:  # echo=True
                row["token_logp_draft"] = logps[len(prompt) :]
            if reading.scorings.by_length:
                if not row["token_ids"] or not prompt:
                    name = "prompt_token_ids" if row["token_ids"] else "token_ids"
                    raise Unfit(name, ABSENT, "scorings are joined by ids: ask for return_token_ids")
                row["token_logp_base"], model = reading.scorings.find(prompt, row["token_ids"])
                row["source"] = "draft"
                reading.fact("base_model", model)
            yield draw

    reading.fact("engine", "vllm")
    return draws_of(objects, of_response)


VLLM = LogFormat(
    "vllm",
    "responses of vLLM (completions, chats, offline outputs), and prompt_logprobs of the base",
    _rows,
    iid=True,
    scorings=_note_scorings,
)
