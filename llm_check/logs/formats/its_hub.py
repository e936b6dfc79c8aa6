"""`its-hub`: results of its_hub's benchmark.

Particle filters resample their candidates, and beam search prunes them: refused, or marked. Their `log_probs` are
weights of particles, no log-probabilities of texts, and `correct` is an average over them: neither is taken. Best-of-n
writes its winner alone: one draw of best-of-n, not of the model, so it is marked and nothing is recommended from it.
"""

from __future__ import annotations

from collections.abc import Iterator

from gsi_theory.types import Record
from llm_check.logs.formats.documents import Documents
from llm_check.logs.formats.log_format import Draw, LogFormat, Numbered, Reading, draws_of, member, optional

__all__ = ["ITS_HUB"]


def _rows(objects: Documents, reading: Reading) -> Numbered:
    def of_result(number: int, entry: Record) -> Iterator[Draw]:
        prompt = entry.get("unique_id")
        if not isinstance(prompt, int) or isinstance(prompt, bool):
            prompt = member(entry, "unique_id", str)
        budget = optional(entry, "budget", int)
        if "responses" in entry:
            weights = any(name in entry for name in ("log_probs", "log_weights", "log_weights_lst"))
            reading.dependent(
                "a particle filter of its_hub: candidates are resampled, log_probs are weights of particles"
                if weights
                else "results of its_hub that do not say how: beam search prunes its candidates"
            )
            for index, text in enumerate(member(entry, "responses", list)):
                yield Draw({"prompt_id": prompt, "text": text}, (entry,), index)
            return
        text = member(entry, "response", str)
        if budget != 1:
            reading.facts |= {"iid": False, "how": "its_hub wrote the winner of each budget alone"}
        yield Draw({"prompt_id": prompt, "text": text, "correct": entry.get("correct")}, (entry,))

    return draws_of(objects, of_result)


ITS_HUB = LogFormat("its-hub", "results of its_hub: winners of best-of-n; resampled candidates are refused", _rows)
