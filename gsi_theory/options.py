"""Options of the command line: `--set key=value`, also as text of the recorded command, and those without effect."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

import typer

from gsi_theory.errors import InputError

__all__ = ["given_options", "read_pairs", "refuse_options", "set_options"]


def read_pairs(pairs: Sequence[str]) -> dict[str, str]:
    """{"key": "value"} from "key=value" texts; InputError for a text without "=" or without a key."""
    settings: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--set {pair!r}: give key=value")
        settings[key] = value
    return settings


def set_options(settings: Mapping[str, str]) -> str:
    """The options that give these settings, each with a leading blank, quoted for a shell."""
    return "".join(f" --set {shlex.quote(f'{key}={value}')}" for key, value in settings.items())


def given_options(context: typer.Context | None, but: Sequence[str] = ()) -> list[str]:
    """The parameters, by name, that the command line gave, but those named in `but`; none without a context, outside
    the command line."""
    if context is None:
        return []
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return [name for name, source in sources.items() if source and source.name == "COMMANDLINE" and name not in but]


def refuse_options(context: typer.Context | None, names: Sequence[str], why: str) -> None:
    """InputError where the command line gave one of these parameters, which would have no effect; `why` says the
    case and the cure."""
    if context is None:
        return
    given = set(given_options(context)) & set(names)
    options = [parameter.opts[0] for parameter in context.command.params if parameter.name in given]
    if options:
        raise InputError(f"{', '.join(options)} would have no effect {why}")
