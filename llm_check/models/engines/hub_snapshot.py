"""Models of the hub by name, `hub:OWNER/NAME[@REVISION]`: the folder of a snapshot, from the cache or downloaded.

Only safetensors, configuration and tokenizer files are fetched: no code, no pickled weights. No torch here.
"""

from __future__ import annotations

import re
from pathlib import Path

from gsi_theory.errors import InputError

__all__ = ["hub_folder", "is_hub_name", "placed"]

_SCHEME = "hub:"
_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_FILES = ["*.safetensors", "*.json", "*.jinja", "merges.txt", "vocab.txt", "tokenizer.model"]


def is_hub_name(spec: object) -> bool:
    """Whether a spec of a model names one of the hub."""
    return isinstance(spec, str) and spec.startswith(_SCHEME)


def hub_folder(spec: str) -> Path:
    """The folder of the snapshot that `hub:OWNER/NAME[@REVISION]` names; downloaded where the cache lacks it.

    Raises InputError for a name of another form, and where it is neither in the cache nor within reach.
    """
    name, _, revision = spec.removeprefix(_SCHEME).partition("@")
    if not _NAME.fullmatch(spec.removeprefix(_SCHEME)):
        raise InputError(f"{spec!r} names no model of the hub: write hub:OWNER/NAME, or hub:OWNER/NAME@REVISION")
    from huggingface_hub import snapshot_download

    def snapshot(local: bool) -> Path:
        place = snapshot_download(name, revision=revision or None, allow_patterns=_FILES, local_files_only=local)
        return Path(place)

    try:
        return snapshot(local=True)
    except Exception:  # the hub's client raises many kinds; what is not in the cache is fetched
        pass
    try:
        return snapshot(local=False)
    except Exception as error:  # no network, no such model, no access
        raise InputError(
            f"{name} is not in the hub's cache and could not be downloaded ({_line(error)}): where there is a network, "
            f"hf download {name}{f' --revision {revision}' if revision else ''}; or give its folder"
        ) from error


def placed(spec: str | Path) -> str:
    """`spec` with a hub's name replaced by its folder, settings (?...) kept; anything else as it is."""
    if not is_hub_name(spec):
        return str(spec)
    name, question, settings = str(spec).partition("?")
    return f"{hub_folder(name)}{question}{settings}"


def _line(error: Exception) -> str:
    return str(error).splitlines()[0].strip() if str(error) else type(error).__name__
