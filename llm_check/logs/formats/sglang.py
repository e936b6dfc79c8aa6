"""`sglang`: outputs of SGLang's /generate; a line with a list of outputs is one prompt with several draws.

What `output_token_logprobs` mean changed between versions (scaled by temperature, or raw): state it, with `--fact
version=` and `--fact logprobs=`. Where the kept token ids of truncated sampling were logged, the law is the one
renormalized over them, `output_token_sampling_logprobs`: that is what the draws follow, and what it leaves out of the
model's own mass is stated. Outputs of at most one new token with `input_token_logprobs` (always T = 1) are scorings of
the draws beside them, joined by token ids.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from gsi_theory.types import Json, Record
from llm_check.logs.formats.documents import Documents
from llm_check.logs.formats.log_format import Draw, LogFormat, Numbered, Reading, draws_of, member, optional
from llm_check.logs.formats.scorings import scoring_of_pairs
from llm_check.logs.formats.unfit import Unfit

__all__ = ["SGLANG"]

_NAME = "meta_info.output_token_logprobs"


def _pairs(meta: Record, name: str) -> list[list[Json]] | None:
    """[logprob or null, token id, text] of each token. Raises Unfit for another shape."""
    pairs = optional(meta, name, list, "meta_info")
    for place, pair in enumerate(pairs or ()):
        if not isinstance(pair, list) or len(pair) < 2 or type(pair[1]) is not int:
            raise Unfit(f"meta_info.{name}.{place}", pair, "give [logprob, token id, text]")
    return pairs


def _is_scoring(meta: Record) -> bool:
    return bool(meta.get("input_token_logprobs")) and len(meta.get("output_token_logprobs") or ()) <= 1


def _outputs(entry: Record) -> list[Record]:
    """The outputs of a line, their meta_info checked."""
    outputs = entry["outputs"] if set(entry) == {"outputs"} else [entry]
    for output in outputs:
        if not isinstance(output, dict):
            raise Unfit("", output, "give an output, or a list of them")
        member(output, "meta_info", dict)
    return outputs


def _as_objects(objects: Documents) -> Documents:
    return ((number, {"outputs": entry} if isinstance(entry, list) else entry) for number, entry in objects)


def _note_scorings(objects: Documents, reading: Reading) -> None:
    def of_output(number: int, entry: Record) -> Iterator[Draw]:
        for output in _outputs(entry):
            meta = output["meta_info"]
            if _is_scoring(meta):
                reading.scorings.add(scoring_of_pairs(_pairs(meta, "input_token_logprobs") or [], None))
            else:
                reading.draws.append(number)
        return iter(())

    for _ in draws_of(_as_objects(objects), of_output):
        pass


def _kept(meta: Record, pairs: list[list[Json]], reading: Reading) -> list[Json] | None:
    """Log-probabilities under the law over the kept tokens; None where no mask was logged."""
    masks = optional(meta, "output_token_sampling_mask", list, "meta_info")
    sampled = optional(meta, "output_token_sampling_logprobs", list, "meta_info")
    if masks is None or sampled is None:
        return None
    if not len(masks) == len(sampled) == len(pairs):
        raise Unfit(
            "meta_info.output_token_sampling_mask", masks, f"{len(pairs)} tokens were drawn: give one mask each"
        )
    masses = []
    for place, (mask, pair, value) in enumerate(zip(masks, pairs, sampled, strict=True)):
        if not isinstance(mask, list) or pair[1] not in mask:
            raise Unfit(
                f"meta_info.output_token_sampling_mask.{place}", mask, f"the token drawn, {pair[1]}, is not in it"
            )
        if any(isinstance(v, bool) or not isinstance(v, int | float) or not math.isfinite(v) for v in (value, pair[0])):
            raise Unfit(f"meta_info.output_token_sampling_logprobs.{place}", value, "give log-probabilities")
        masses.append(min(1.0, math.exp(min(0.0, pair[0] - value))))
    known = reading.facts.setdefault("kept", {"tokens": 0, "mean_mass": 0.0, "least_mass": 1.0})
    known["tokens"] += len(masses)
    known["mean_mass"] += math.fsum(masses)
    known["least_mass"] = min([known["least_mass"], *masses])
    return sampled


def _rows(objects: Documents, reading: Reading) -> Numbered:
    def of_output(number: int, entry: Record) -> Iterator[Draw]:
        outputs = _outputs(entry)
        name = optional(outputs[0]["meta_info"], "id", str, "meta_info") if outputs else None
        prompt = name or reading.line_name(number)
        if name:
            reading.once("meta_info.id", name, number)
        for index, output in enumerate(outputs):
            meta = output["meta_info"]
            if _is_scoring(meta) and reading.draws:
                continue
            scored = _is_scoring(meta)
            pairs = _pairs(meta, "input_token_logprobs" if scored else "output_token_logprobs")
            ids = optional(output, "output_ids", list) if not scored else None
            if ids is None and pairs is not None:
                ids = [pair[1] for pair in pairs[1:]] if scored else [pair[1] for pair in pairs]
            reason = optional(meta, "finish_reason", dict, "meta_info") or {}
            row: Record = {
                "prompt_id": prompt,
                "text": optional(output, "text", str),
                "token_ids": ids,
                "finish_reason": optional(reason, "type", str, "meta_info.finish_reason"),
            }
            if pairs is not None:
                kept = None if scored else _kept(meta, pairs, reading)
                row["token_logp_draft"] = [pair[0] for pair in pairs[scored:]] if kept is None else kept
            if reading.scorings.by_length and not scored:
                before = _pairs(meta, "input_token_logprobs")
                if not before or not ids:
                    raise Unfit(
                        "meta_info.input_token_logprobs", before, "scorings are joined by ids: log the prompt's"
                    )
                row["token_logp_base"], _ = reading.scorings.find([pair[1] for pair in before], ids)
                row["source"] = "draft"
            yield Draw(row, (output, meta, entry), index)

    reading.fact("engine", "sglang")
    return draws_of(_as_objects(objects), of_output)


SGLANG = LogFormat(
    "sglang", "outputs of SGLang's /generate, kept-token masks read", _rows, iid=True, scorings=_note_scorings
)
