"""Engines by name: one table of schemes, each loaded by a module that is imported only when it is asked for.

    FOLDER, transformers:FOLDER          a checkpoint, run by transformers in this process
    hub:OWNER/NAME[@REVISION]            one of the hub, likewise, from its cache or downloaded
    smollm2, smollm2:DRAFT               a real model (`gsi models`), as it is or rounded to a draft, likewise
    vllm:FOLDER[?OPTION=VALUE&...]       a checkpoint, run by vLLM in this process; options are vllm.LLM's
    http://HOST:PORT[,http://...][?...]  vLLM servers, prompts shared out over them; options of engines.vllm_server

Larger than one machine or one GPU: start vLLM servers where the GPUs are (`vllm serve MODEL --tensor-parallel-size 4`)
and name their URLs; or vllm:FOLDER?tensor_parallel_size=4 on one machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gsi_theory.errors import InputError
from gsi_theory.types import Json
from llm_check.models.engines.engine import Engine
from llm_check.models.engines.hub_snapshot import hub_folder
from llm_check.models.real.model_cache import REAL_MODELS, RealName, real_name
from llm_check.models.spec import read_query

__all__ = ["LOADERS", "load_engine", "option_value"]

Loader = Callable[[str, Mapping[str, Json], str, str, float], Engine]


def _load_transformers(where: str, options: Mapping[str, Json], device: str, dtype: str, temperature: float) -> Engine:
    from llm_check.models.engines.transformers_engine import TransformersEngine

    if options:
        raise InputError(f"transformers:{where} takes no option {next(iter(options))!r}: leave it out")
    return TransformersEngine.load(Path(where), device, dtype, temperature)


def _load_real(named: RealName, device: str, dtype: str, temperature: float) -> Engine:
    from llm_check.models.engines.transformers_engine import TransformersEngine

    return TransformersEngine.load_real(named, device, dtype, temperature)


def _load_vllm(where: str, options: Mapping[str, Json], device: str, dtype: str, temperature: float) -> Engine:
    _require_plain(f"vllm:{where}", temperature)
    from llm_check.models.engines.vllm_offline import load_offline

    return load_offline(where, device, dtype, options)


def _load_servers(where: str, options: Mapping[str, Json], device: str, dtype: str, temperature: float) -> Engine:
    _require_plain(where, temperature)
    from llm_check.models.engines.vllm_server import load_servers

    return load_servers(where.split(","), options)


def _load_hub(where: str, options: Mapping[str, Json], device: str, dtype: str, temperature: float) -> Engine:
    return _load_transformers(str(hub_folder(f"hub:{where}")), options, device, dtype, temperature)


LOADERS: dict[str, Loader] = {
    "transformers": _load_transformers,
    "hub": _load_hub,
    "vllm": _load_vllm,
    "http": _load_servers,
    "https": _load_servers,
}


_PLACES = dict.fromkeys(("http", "https"), "://host:port") | {"hub": ":OWNER/NAME"}


def _require_plain(spec: str, temperature: float) -> None:
    if temperature != 1.0:
        raise InputError(
            f"sampling temperature {temperature} with {spec}: vLLM scores given tokens at temperature 1 only, so draws "
            "at another could not be weighted; use 1, or transformers:FOLDER"
        )


def option_value(value: str) -> Any:
    """true, 4, 0.5 and {...} as JSON; anything else is text."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def load_engine(spec: str | Path, *, device: str = "cpu", dtype: str = "float32", temperature: float = 1.0) -> Engine:
    """The engine that `spec` names (see above). A folder that exists is a folder, whatever its name.

    device and dtype are of engines in this process; servers chose their own when they were started.
    Raises InputError for a scheme that is not in `LOADERS`, options that are no setting=value&setting=value, and what
    the loader raises.
    """
    text = str(spec)
    if not text:
        raise InputError("the engine's name is empty: give a model folder, vllm:FOLDER, or http://host:port")
    named = None if isinstance(spec, Path) else real_name(text)
    if named is not None:
        return _load_real(named, device, dtype, temperature)
    scheme, colon, rest = text.partition(":")
    if isinstance(spec, Path) or not colon or os.path.isdir(text):
        return _load_transformers(text, {}, device, dtype, temperature)
    if scheme not in LOADERS:
        raise InputError(
            f"engine {text!r}: no scheme {scheme!r} and no such folder; known are a model folder, "
            f"{', '.join(REAL_MODELS)}, " + ", ".join(f"{name}{_PLACES.get(name, ':FOLDER')}" for name in LOADERS)
        )
    where, _, query = (text if scheme.startswith("http") else rest).partition("?")
    options = {name: option_value(value) for name, value in read_query(query, text).items()}
    return LOADERS[scheme](where, options, device, dtype, temperature)
