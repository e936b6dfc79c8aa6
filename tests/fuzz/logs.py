"""Logs of other engines, bent: lines dropped, cut, doubled, fields of another type, bytes flipped, other wrappings."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from typing import Any

import numpy as np

from tests.fuzz.mutate import bend, bend_bytes, dumps, pick
from tests.llm_check.logs.formats.sample_logs import SAMPLES, Sample

__all__ = ["log_file"]

Rng = np.random.Generator


def _bent(rng: Rng, objects: list[Any]) -> list[Any]:
    """Some objects bent one by one, dropped, or there twice."""
    bent = list(objects)
    for _ in range(int(rng.integers(1, 4))):
        if not bent:
            return bent
        i = int(rng.integers(len(bent)))
        action = rng.integers(8)
        if action == 0:
            del bent[i]
        elif action == 1:
            bent.insert(int(rng.integers(len(bent) + 1)), bent[i])
        elif isinstance(bent[i], dict):
            bent[i] = bend(rng, bent[i])
        elif isinstance(bent[i], list) and bent[i] and isinstance(bent[i][0], dict):
            bent[i] = [bend(rng, bent[i][0]), *bent[i][1:]]
    return bent


def _zip(rng: Rng, objects: list[Any]) -> bytes:
    """As Inspect's .eval holds its samples."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", pick(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        archive.writestr("header.json", json.dumps({"version": 2, "eval": {"model": "m"}}))
        for i, entry in enumerate(objects):
            archive.writestr(f"samples/{i}_epoch_1.json", dumps(entry))
    return content.getvalue()


def _csv(objects: list[Any]) -> bytes:
    rows = [entry for entry in objects if isinstance(entry, dict)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([[dumps(row.get(name, "")) for name in names] for row in rows])
    return text.getvalue().encode("utf-8", "replace")


def log_file(rng: Rng, bent: bool) -> tuple[Sample, str, bytes]:
    """(the sample it comes from, name, content) of a log."""
    sample = SAMPLES[pick(rng, sorted(SAMPLES))]
    objects = _bent(rng, sample.objects) if bent and rng.random() < 0.8 else sample.objects
    lines = "".join(dumps(entry) + "\n" for entry in objects).encode("utf-8", "replace")
    name, content = "log.jsonl", lines
    kind = rng.integers(10)
    if kind == 0:
        name, content = "log.json", f"[{', '.join(map(dumps, objects))}]".encode("utf-8", "replace")
    elif kind == 1:
        name, content = "log.jsonl.gz", gzip.compress(lines, mtime=0)
    elif kind == 2 and sample.form == "inspect":
        name, content = "log.eval", _zip(rng, objects)
    elif kind == 2 and sample.form == "table":
        name, content = "log.csv", _csv(objects)
    elif kind == 3 and bent:
        name = pick(rng, ("log.json", "log.csv", "log.tsv", "log.parquet", "log.yaml", "log.eval", "log.gz", "log"))
    return sample, name, bend_bytes(rng, content) if bent and rng.random() < 0.35 else content
