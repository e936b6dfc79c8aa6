"""`rsd`: outputs of Reward-guided Speculative Decoding (main_online.py).

A code is a whole solution that two models wrote step by step, so it is a draw of the method, and the log is of one
model. `reward` holds the scores of the draft's steps, those that the base then replaced among them: it is no reward of
the solution and is not taken. Tokens are those of both models, without what was discarded.
"""

from __future__ import annotations

from collections.abc import Iterator

from gsi_theory.types import Record
from llm_check.logs.formats.documents import Documents
from llm_check.logs.formats.log_format import Draw, LogFormat, Numbered, Reading, draws_of, member, optional, parallel
from llm_check.logs.formats.unfit import Unfit

__all__ = ["RSD"]


def _rows(objects: Documents, reading: Reading) -> Numbered:
    def of_problem(number: int, entry: Record) -> Iterator[Draw]:
        prompt = entry.get("idx")
        if not isinstance(prompt, str | int) or isinstance(prompt, bool):
            prompt = member(entry, "idx", int)
        reading.once("idx", str(prompt), number)
        codes = member(entry, "code", list)
        lists = parallel(entry, ("pred", "score"), len(codes))
        tokens = optional(entry, "token_counts", list)
        if tokens is not None and any(type(count) is not int for count in tokens):
            raise Unfit("token_counts", tokens, "give whole numbers: of the draft, of the base, discarded")
        for index, code in enumerate(codes):
            row: Record = {"prompt_id": prompt, "text": code}
            if "pred" in lists:
                row["answer"] = lists["pred"][index]
            if "score" in lists:
                row["correct"] = lists["score"][index]
            if tokens and len(codes) == 1:
                row["n_tokens"] = sum(tokens[:2])
            yield Draw(row, (entry,), index)

    reading.fact("drawn_by", "reward-guided speculative decoding of two models")
    return draws_of(objects, of_problem)


RSD = LogFormat("rsd", "outputs of Reward-guided Speculative Decoding", _rows, iid=True)
