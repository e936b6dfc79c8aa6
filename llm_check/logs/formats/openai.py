"""`openai`: responses of /v1/chat/completions and /v1/completions, bare or in the lines of a batch.

Log-probabilities are those of `logprobs.content`; there are no token ids, so no other model can score the same tokens,
and a log is of one model. One response is one prompt, its choices are its draws.
"""

from __future__ import annotations

from collections.abc import Iterator

from gsi_theory.types import Record
from llm_check.logs.formats.choices import choices_of, draw_of
from llm_check.logs.formats.documents import Documents
from llm_check.logs.formats.log_format import Draw, LogFormat, Numbered, Reading, draws_of

__all__ = ["OPENAI"]


def _rows(objects: Documents, reading: Reading) -> Numbered:
    def of_response(number: int, entry: Record) -> Iterator[Draw]:
        for choice in choices_of(entry, number, reading):
            yield draw_of(choice, reading)

    return draws_of(objects, of_response)


OPENAI = LogFormat(
    "openai", "responses of OpenAI-compatible servers, chats and completions, or batches", _rows, iid=True
)
