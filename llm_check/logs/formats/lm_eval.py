"""`lm-eval`: samples files of lm-evaluation-harness (--log_samples).

A document stands once for each filter: one filter is read (--pick, else the first). All repeats are in `resps`; the
filtered answer and its metric are of the first repeat, so others have a text and no grade, and where the filter is a
vote over repeats none has one. Of several files the prompts are named by task and document. Log-likelihood tasks
score given texts and draw none: refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gsi_theory.types import Json, Record
from llm_check.logs.formats.documents import Documents
from llm_check.logs.formats.log_format import Draw, LogFormat, Numbered, Reading, draws_of, member, optional
from llm_check.logs.formats.unfit import Unfit

__all__ = ["LM_EVAL"]


def _settings(entry: Record) -> Mapping[str, Json]:
    """The settings of generation of a document; empty where the log has none."""
    arguments = entry.get("arguments")
    first = next(iter(arguments.values()), None) if isinstance(arguments, dict) else arguments
    while isinstance(first, list) and first:  # older versions: [[context, settings]]
        first = first[-1]
    settings = first.get("arg_1", first) if isinstance(first, dict) else None
    return settings if isinstance(settings, dict) else {}


def _grade(entry: Record, reading: Reading) -> Json:
    """The value of the metric: the first of `metrics` that is a number or a truth value."""
    names = optional(entry, "metrics", list) or [n for n in ("exact_match", "acc") if n in entry]
    reading.fact("metric", names[0] if names and isinstance(names[0], str) else None)
    return entry.get(names[0]) if names and isinstance(names[0], str) else None


def _task(reading: Reading) -> str:
    """The task in the name of a samples file, with a colon, where several files are read: documents are numbered by
    task. Empty for one file, and for other names."""
    found = re.match(r"samples_(.+?)(_\d{4}-\d\d-\d\dT.*)?\.jsonl", reading.file)
    return f"{found[1]}:" if found else ""


def _rows(objects: Documents, reading: Reading) -> Numbered:
    chosen: list[str] = [reading.pick] if reading.pick else []
    task = _task(reading)

    def of_document(number: int, entry: Record) -> Iterator[Draw]:
        doc = entry.get("doc_id")
        if doc is None:
            member(entry, "doc_id", int)
        responses = member(entry, "resps", list)
        name = optional(entry, "filter", str) or "none"
        if not chosen:
            chosen.append(name)
        reading.fact("filter", chosen[0])
        if name != chosen[0]:
            reading.note(f"documents stand once for each filter: {chosen[0]} is read, --pick names another")
            return
        repeats = responses[0] if len(responses) == 1 and isinstance(responses[0], list) else responses
        if not repeats or not all(isinstance(text, str) for text in repeats):
            raise Unfit("resps", responses, "log-likelihoods of given texts: nothing was drawn, leave the task out")
        reading.once("doc_id", f"{task}{doc}", number)
        settings = _settings(entry)
        temperature = settings.get("temperature", None if settings.get("do_sample") else 0.0 if settings else None)
        reading.fact("temperature", temperature)
        for fact in ("top_p", "top_k", "min_p"):
            reading.fact(fact, settings.get(fact))
        filtered = optional(entry, "filtered_resps", list) or []
        filtered = filtered[0] if len(filtered) == 1 and isinstance(filtered[0], list) else filtered
        voted = len(repeats) > 1 and "maj" in name
        for index, text in enumerate(repeats):
            row: Record = {"prompt_id": f"{task}{doc}", "text": text}
            if not voted and index < len(filtered) and isinstance(filtered[index], str):
                row["answer"] = filtered[index]
            if index == 0 and not voted and len(filtered) == 1:
                grade = _grade(entry, reading)
                if grade in (0, 1):
                    row["correct"] = grade
                elif grade is not None:
                    row["reward"] = grade
                    reading.graded()
            yield Draw(row, (entry,), index)

    return draws_of(objects, of_document)


LM_EVAL = LogFormat("lm-eval", "samples of lm-evaluation-harness, generation tasks", _rows, iid=True)
