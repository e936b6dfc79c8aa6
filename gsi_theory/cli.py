"""The `gsi` command: a thin group that loads each subcommand by name when it is called.

Subcommands live in the folder they belong to, each a module with a typer `app`; nothing here imports them before they
are asked for, so folders stay independent and `gsi --help` is quick. Exit status: 0 fine, 1 a claim that should hold
was refuted (or a check failed), 2 bad input.
"""

from __future__ import annotations

import errno
import importlib
import importlib.metadata
import io
import os
import sys
from typing import Any, NoReturn

from gsi_theory.errors import InputError

__all__ = ["COMMANDS", "main"]

# name -> (module with `app`, one-line help)
COMMANDS = {
    "report": ("gsi_theory.command_report", "Run everything and write report/index.html (the main job)."),
    "refute": ("gsi_theory.command_refute", "Search, shrink and certify a counterexample to a claim."),
    "law": ("gsi_theory.command_law", "Exact law of GSI on an instance file."),
    "audit": ("sims.command_audit", "Judge every published guarantee over families of instances."),
    "simulate": ("sims.command_simulate", "Run a simulation experiment by name, or list them."),
    "pool": ("llm_check.command_pool", "Collect a pool of candidates from two language models."),
    "doctor": ("llm_check.command_doctor", "Self-checks of a pool: what is wrong with its numbers, and the cure."),
    "plan": (
        "llm_check.command_plan",
        "Which rule, n, beta and threshold to use, what it costs, or why a pool cannot tell.",
    ),
    "predict": ("llm_check.command_predict", "Predict reward and acceptance from a pool, for every rule, n, beta."),
    "decode": ("llm_check.command_decode", "Solve problems on two language models with a chosen method."),
    "check": ("llm_check.command_check", "Predictions and exact laws against fresh runs on two language models."),
    "figures": ("figures.command_figures", "Draw figures and the page from artifacts already computed."),
}


# Errors of writing that are no fault of the program: a full disk, a quota, a limit on the size of files.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "Usage: gsi COMMAND [OPTIONS]",
            "",
            "An exact laboratory for draft-guided sampling.",
            "",
            "Commands:",
            *lines,
            "",
            "gsi COMMAND --help describes a command. Exit status: 0 fine, 1 a check failed, 2 bad input.",
        ]
    )


def _refuse(name: str, message: str) -> NoReturn:
    """Bad input or usage: one line on standard error, status 2. A message may quote what would end the line, or drive
    the terminal: that is escaped."""
    line = " ".join(message.splitlines())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    print(f"gsi {name}: {shown}", file=sys.stderr)
    sys.exit(2)


def _usage_errors() -> Any:
    """The class of typer's errors of usage; typer is slow to import, and by then a command has imported it."""
    import typer

    return typer.BadParameter.__mro__[2]


def main(arguments: list[str] | None = None) -> None:
    """Entry point; always ends in SystemExit with the command's status."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] in ("-h", "--help"):
        print(_usage())
        sys.exit(0)
    name, rest = given[0], given[1:]
    if name == "--version":
        print(f"gsi {importlib.metadata.version('gsi-theory')}")
        sys.exit(0)
    if name not in COMMANDS:
        print(f"gsi: no command {name!r}: give one of {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    for stream in (sys.stdout, sys.stderr):
        # names of files may hold bytes, and terminals lack letters, that no encoding takes: an escape, not a traceback
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        module = importlib.import_module(COMMANDS[name][0])
        status = module.app(args=rest, prog_name=f"gsi {name}", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(status if isinstance(status, int) else 0)
    except InputError as error:
        _refuse(name, str(error))
    except _usage_errors() as error:
        _refuse(name, f"{error.format_message().rstrip('.')}: gsi {name} --help lists what it takes")
    except BrokenPipeError:
        # the reader of a pipe has seen enough; what is left in the buffer must not be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        place = error.filename or "the output"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _refuse(name, f"cannot write {place} ({error.strerror}): free space, or raise the limit")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("torch", "transformers", "tokenizers", "safetensors"):
            raise
        cure = "install the language-model extra: pip install 'gsi-theory[llm]'"
        print(f"gsi {name}: package {error.name!r} is missing: {cure}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
