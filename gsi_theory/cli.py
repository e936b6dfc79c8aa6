"""The `gsi` command: a thin group that loads each subcommand by name when it is called.

Subcommands live in the folder they belong to, each a module with a typer `app`; nothing here imports them before they
are asked for, so folders stay independent and `gsi --help` is quick. Exit status: 0 fine, 1 a claim that should hold
was refuted (or a check failed), 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import errno
import importlib
import importlib.metadata
import io
import itertools
import os
import re
import sys
from typing import Any, NoReturn

from gsi_theory.errors import InputError, nearest

__all__ = ["COMMANDS", "load_command", "main"]

# name -> (module with `app`, one-line help)
COMMANDS = {
    "report": ("gsi_theory.runs.command_report", "Run everything and write report/index.html (the main job)."),
    "refute": ("gsi_theory.runs.command_refute", "Search, shrink and certify a counterexample to a claim."),
    "law": ("gsi_theory.runs.command_law", "Exact law of GSI on an instance file."),
    "conform": ("gsi_theory.runs.command_conform", "Does a sampler of yours sample what it says? If not, what it is."),
    "conform lm": ("llm_check.models.command_conform_lm", "The same of an engine: does it draw by its model's law?"),
    "audit": ("sims.command_audit", "Judge every published guarantee over families of instances."),
    "simulate": ("sims.command_simulate", "Run a simulation experiment by name, or list them."),
    "models": ("llm_check.models.command_models", "Make a real language model ready, or list the models there are."),
    "pool": ("llm_check.models.command_pool", "Collect a pool of candidates from two language models."),
    "import": ("llm_check.logs.command_import", "Logs of engines and benches, one model or two, as a log of ours."),
    "doctor": ("llm_check.logs.command_doctor", "Self-checks of a pool: what is wrong with its numbers, the cure."),
    "curve": ("llm_check.logs.command_curve", "Value against n of one model's draws: best-of-n, votes, pass@k."),
    "plan": ("llm_check.logs.command_plan", "Rule, n, β and u for a goal, at what cost; or what the pool lacks."),
    "predict": ("llm_check.logs.command_predict", "Predict reward and acceptance from a pool, for every rule, n, β."),
    "decode": ("llm_check.models.command_decode", "Solve problems on two language models with a chosen method."),
    "check": ("llm_check.models.command_check", "Predictions and exact laws against runs of two language models."),
    "figures": ("figures.command_figures", "Draw figures and the page from artifacts already computed."),
}


COMPLETING = "_GSI_COMPLETE"  # set by a shell that asks for completions

# What an interruption (Ctrl-C) leaves, and what to do next.
_GOES_ON = "give the same command again, and it goes on from here"
_ANEW = "nothing is kept; give the same command again to begin anew"
_INTERRUPTED = {
    "report": _GOES_ON,
    "audit": _GOES_ON,
    "simulate": _GOES_ON,
    "models": _GOES_ON,
    "pool": _GOES_ON,
    "check": f"{_GOES_ON} if it is lm_law; other checks begin anew",
    "decode": f"{_GOES_ON} if it has --out; else it begins anew",
    "figures": "give the same command again: it draws all figures anew",
}

# Errors of writing that are no fault of the program: a full disk, a quota, a limit on the size of files.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Characters of an error: what it quotes may be a file's worth.
_LONGEST_LINE = 2000


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
            "gsi COMMAND --help describes a command; gsi --install-completion lets the shell",
            "complete commands, options and names. Exit status: 0 fine, 1 a check failed,",
            "2 bad input, 130 interrupted.",
        ]
    )


def _refuse(name: str, message: str) -> NoReturn:
    """Bad input or usage: one line on standard error, status 2. A message may quote what would end the line, or drive
    the terminal: that is escaped."""
    line = " ".join(message.splitlines())
    if len(line) > _LONGEST_LINE:  # the cure is at the end
        line = f"{line[: _LONGEST_LINE // 2]} ... {line[-_LONGEST_LINE // 2 :]}"
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    print(f"gsi {name}: {shown}", file=sys.stderr)
    sys.exit(2)


def _received(error: Any, arguments: list[str]) -> str:
    """The text that the option of an error of usage was given, which typer's message leaves out; "" for none."""
    options = getattr(getattr(error, "param", None), "opts", [])
    for argument, after in itertools.zip_longest(arguments, arguments[1:]):
        option, equals, value = argument.partition("=")
        if option in options and (equals or after is not None):
            text = value if equals else after
            return "" if repr(text) in str(error) else f", got {text!r}"
    return ""


def _interrupted(name: str) -> NoReturn:
    """Ctrl-C: what is kept and what to do next, on standard error; status 130, as of a shell."""
    print(f"\ngsi {name}: interrupted: {_INTERRUPTED.get(name, _ANEW)}", file=sys.stderr)
    sys.exit(130)


def load_command(name: str) -> Any:
    """The command of that name, its help as paragraphs without line breaks of the source."""
    import typer

    command = typer.main.get_command(importlib.import_module(COMMANDS[name][0]).app)
    paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for parameter in command.params:
        if parameter.nargs == -1:  # typer would show the type of the source, list[Path]
            parameter.__dict__["display_type"] = lambda context: "<path>"
    return command


def _extra_of(package: str) -> str | None:
    """The extra of this package that brings an importable one; None for one that no extra names."""
    requirements = importlib.metadata.requires("gsi-theory") or []
    pairs = (re.match(r"([\w.-]+).*;.*\bextra == ['\"]([\w-]+)", line) for line in requirements)
    extras = ((pair[1].replace("-", "_"), pair[2]) for pair in pairs if pair)
    return next((extra for module, extra in extras if module == package), None)


def _require_once(command: Any, arguments: list[str]) -> None:
    """InputError for an option of one value that is given twice: all but the last would be dropped in silence."""
    options = [p for p in command.params if p.param_type_name == "option" and not p.multiple and not p.is_flag]
    place = {spelled: option.name for option in options for spelled in option.opts}
    words = [argument.partition("=")[0] for argument in itertools.takewhile(lambda each: each != "--", arguments)]
    names = [place[word] for word in words if word in place]
    for word in words:
        times = names.count(place[word]) if word in place else 0
        if times > 1:
            raise InputError(f"{word} is given {times} times: give it once")


def _usage_errors() -> Any:
    """The class of typer's errors of usage; typer is slow to import, and by then a command has imported it."""
    import typer

    return typer.BadParameter.__mro__[2]


def _open_streams() -> None:
    """Make the standard streams usable: what is closed would be the place of the next file that is opened.

    Names of files may hold bytes, and terminals lack letters, that no encoding takes: they are shown as an escape.
    """
    silent = sys.stdout is None
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if silent:
        print("gsi: standard output is closed: give one, or send it to /dev/null", file=sys.stderr)
        sys.exit(2)


def _split(given: list[str]) -> tuple[str, list[str]]:
    """(command, its arguments); some commands are two words."""
    pair = " ".join(given[:2])
    return (pair, given[2:]) if pair in COMMANDS else (given[0], given[1:])


def _answer(given: list[str]) -> int:
    """Do what the command line says; the status."""
    if not given or given[0] in ("-h", "--help"):
        print(_usage())
        return 0
    name, rest = _split(given)
    if name == "--version":
        print(f"gsi {importlib.metadata.version('gsi-theory')}")
        return 0
    if name not in COMMANDS:
        print(f"gsi: no command {name!r}{nearest(name, COMMANDS)}: give one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    command = load_command(name)
    _require_once(command, rest)
    status = command.main(args=rest, prog_name=f"gsi {name}", standalone_mode=False)
    if status == 130:  # typer has caught it
        _interrupted(name)
    return status if isinstance(status, int) else 0


def main(arguments: list[str] | None = None) -> None:
    """Entry point; always ends in SystemExit with the command's status."""
    given = sys.argv[1:] if arguments is None else arguments
    name, rest = _split(given) if given else ("--help", [])
    try:
        _open_streams()
        if COMPLETING in os.environ or given[:1] in (["--install-completion"], ["--show-completion"]):
            from gsi_theory.runs.completion import complete  # slow to import

            words = {name: text for name, (_, text) in COMMANDS.items() if " " not in name}
            complete(given, words, load_command, COMPLETING)
        status = _answer(given)
        sys.stdout.flush()
        sys.exit(status)
    except KeyboardInterrupt:
        _interrupted(name)
    except InputError as error:
        _refuse(name, str(error))
    except _usage_errors() as error:
        message = error.format_message().rstrip(".")
        _refuse(name, f"{message}{_received(error, rest)}: gsi {name} --help lists what it takes")
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
        package = (error.name or "").split(".")[0]
        extra = _extra_of(package)
        if extra is None:
            raise
        _refuse(name, f"package {package!r} is missing: pip install 'gsi-theory[{extra}]'")


if __name__ == "__main__":
    main()
