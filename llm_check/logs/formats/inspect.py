"""`inspect`: samples of Inspect, from `.eval` files, logs in JSON, or JSONL of samples.

An epoch of a sample is a draw, numbered from 0. One scorer is read (--pick, else the first): C and I (and truth values)
are `correct`, numbers are `reward`, P is half right. A sample that ended in an error has no score.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from gsi_theory.errors import InputError
from gsi_theory.runs.json_input import JsonFault, parse_json
from gsi_theory.types import Json, Record
from llm_check.logs.formats.choices import draw_of, listed_choices
from llm_check.logs.formats.documents import Documents, documents
from llm_check.logs.formats.log_format import Draw, LogFormat, Numbered, Reading, draws_of, member, optional
from llm_check.logs.formats.unfit import Unfit
from llm_check.logs.pools.pool_files import LeftOut

__all__ = ["INSPECT"]

_GRADES = {"C": True, "I": False, "N": False}
_HALF = {"P": 0.5}
_LARGEST = 1 << 30
_ZSTANDARD = 93


def _content(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """A file of the archive; Zstandard, which recent versions of Inspect write, zipfile reads from Python 3.14 on."""
    if info.compress_type != _ZSTANDARD:
        return archive.read(info)
    with path.open("rb") as stream:
        stream.seek(info.header_offset)
        header = stream.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise zipfile.BadZipFile(f"no file header at {info.filename}")
        stream.seek(sum(struct.unpack("<HH", header[26:])), 1)
        packed = stream.read(info.compress_size)
    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as unpacked:
        content: bytes = unpacked.read(info.file_size + 1)
    if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
        raise zipfile.BadZipFile(f"Bad CRC-32 for file {info.filename!r}")
    return content


def _members(path: Path) -> Documents:
    """The header and the samples of an `.eval` file, a zip of JSON."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n == "header.json" or n.startswith("samples/")]
            if not any(name.startswith("samples/") for name in names):
                raise InputError(f"{path} has no samples/: give the .eval file of a run that ended")
            for number, name in enumerate(sorted(names, key=lambda n: n != "header.json"), start=1):
                info = archive.getinfo(name)
                if info.file_size > _LARGEST:
                    raise InputError(f"{path}, {name}: more than 1 GiB, no sample: leave it out")
                try:
                    yield number, parse_json(_content(path, archive, info).decode("utf-8"))
                except (JsonFault, UnicodeDecodeError) as fault:
                    yield number, LeftOut(number, name, "", f"not JSON ({fault}): write the log again", None)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{path} is no whole .eval file ({reason}): inspect log convert --to json gives JSON"
        ) from error


def _open(path: Path) -> Documents:
    return _members(path) if path.suffix in (".eval", ".zip") and path.is_file() else documents(path)


def _header(entry: Record, reading: Reading) -> None:
    plan = entry.get("eval")
    if not isinstance(plan, dict):
        return
    reading.fact("model", plan["model"] if isinstance(plan.get("model"), str) else None)
    settings = plan.get("model_generate_config")
    for name in ("temperature", "top_p", "top_k", "seed"):
        value = settings.get(name) if isinstance(settings, dict) else None
        reading.fact(name, value if isinstance(value, int | float) else None)


def _samples(objects: Documents, reading: Reading) -> Documents:
    """The samples of logs, with the facts of their headers noted."""
    for number, entry in objects:
        if isinstance(entry, dict) and "eval" in entry and "output" not in entry:
            _header(entry, reading)
            samples = entry.get("samples")
            for sample in samples if isinstance(samples, list) else ():
                yield number, sample
        else:
            yield number, entry


def _graded(entry: Record, reading: Reading) -> Record:
    scores = optional(entry, "scores", dict) or {}
    name = reading.pick or next(iter(scores), None)
    if name is None or (reading.pick and name not in scores and not scores):
        return {}
    score = member(scores, name, dict, "scores")
    reading.fact("scorer", name)
    value: Json = score.get("value")
    row: Record = {"answer": score.get("answer")}
    if isinstance(value, dict | list):
        raise Unfit(
            f"scores.{name}.value", value, f"several values: --map reward=scores.{name}.value.KEY --map correct=@null"
        )
    if isinstance(value, bool) or value in _GRADES:
        row["correct"] = _GRADES[value] if isinstance(value, str) else value
    else:
        row["reward"] = _HALF.get(value, value) if isinstance(value, str) else value
        reading.graded()
    return row


def _rows(objects: Documents, reading: Reading) -> Numbered:
    def of_sample(number: int, entry: Record) -> Iterator[Draw]:
        epoch = optional(entry, "epoch", int) or 1
        name = entry.get("id")
        if not isinstance(name, str | int) or isinstance(name, bool):
            member(entry, "id", str)
        reading.once("id, epoch", (str(name), epoch), number)
        output = member(entry, "output", dict)
        model = optional(output, "model", str, "output")
        reading.fact("model", model or None)
        graded = _graded(entry, reading)
        choices = listed_choices(optional(output, "choices", list, "output") or [], (output, entry), str(name))
        for choice in choices:
            draw = draw_of(choice, reading)
            draw.row["finish_reason"] = optional(choice.body, "stop_reason", str)
            if len(choices) == 1:
                draw.row["candidate"] = epoch - 1
                usage = optional(output, "usage", dict, "output") or {}
                if draw.row["token_logp_draft"] is None:
                    draw.row["n_tokens"] = optional(usage, "output_tokens", int, "output.usage")
                draw.row.update(graded)
            yield draw
        if not choices:
            yield Draw({"prompt_id": str(name), "candidate": epoch - 1, **graded}, (entry,))

    return draws_of(_samples(objects, reading), of_sample)


INSPECT = LogFormat("inspect", "samples of Inspect: .eval, JSON, or JSONL of samples", _rows, iid=True, open=_open)
