"""Shell completion: what a shell asks of `gsi` on Tab, `gsi --install-completion` and `gsi --show-completion`.

Only the command that is being typed is imported; names of claims, experiments, checks and methods are offered by the
arguments that take them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["complete"]


def complete(arguments: Sequence[str], commands: Mapping[str, str], load: Callable[[str], Any], variable: str) -> None:
    """Answer the shell, or install or show its script; ends in SystemExit. commands: name -> help of one
    line; variable: what a shell sets when it asks."""

    class Commands(TyperGroup):
        """The commands by name; each is loaded when it is asked for."""

        def list_commands(self, ctx: Any) -> list[str]:
            return list(commands)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            found = load(cmd_name) if cmd_name in commands else None
            if found is not None:
                found.name, found.short_help = cmd_name, commands[cmd_name]
            return found

    app = typer.Typer(cls=Commands, pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    typer.main.get_command(app).main(args=list(arguments), prog_name="gsi", complete_var=variable)
