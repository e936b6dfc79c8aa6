"""A member that a user wrote in a file of their own: "FILE.py:NAME", a claim, an experiment, a rule.

    claim = load_member("mine.py:MY_CLAIM", Claim)          # the object, or what a function without arguments makes
    if names_file(text): ...                                # else look it up in the table of its family

The file is run once for each call, as a module of `sys.modules` under a name made from its path, so that a pickled
member finds it in forked workers; one that starts afresh calls `load_member` with the same text.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from gsi_theory.errors import InputError, nearest

__all__ = ["guarded", "load_callable", "load_member", "names_file", "raised_words"]

Member = TypeVar("Member")

_LONGEST = 200  # characters of what a user's code raised that a message shows


def names_file(text: str) -> bool:
    """Whether a text reads as FILE.py:NAME (or FILE.py, the name forgotten), not as a name of a table."""
    return text.endswith(".py") or ".py:" in text


def load_member(text: str, kind: type[Member]) -> Member:
    """The object NAME of FILE.py, of type `kind`; where NAME is a function instead, what it returns without arguments.

    Raises InputError, one line, for a text that is not FILE.py:NAME, a file that is missing or cannot be read, a file
    or function that raises or exits (with its file and line), a name that the file does not define (with those near
    it), and an object of another type.
    """
    what = kind.__name__
    member, name = _named(text, what, f"a {what} or a function that makes one"), text.rpartition(":")[2]
    if not isinstance(member, kind) and callable(member):
        try:
            member = member()
        except (Exception, SystemExit) as error:
            code = getattr(member, "__code__", None)
            start = (code.co_filename, code.co_firstlineno) if code else None
            raise InputError(f"{text}: {name}() raised {raised_words(error, start)}: correct it") from error
        name += "() returned"
    if not isinstance(member, kind):
        verb = "" if name.endswith("returned") else " is"
        raise InputError(f"{text}: {name}{verb} {_article(type(member).__name__)}: it must be {_article(what)}")
    return member


def load_callable(text: str) -> Callable[..., Any]:
    """The function, or any other callable object, NAME of FILE.py, not called.

    Raises InputError as `load_member`, and for what cannot be called, a generator or a coroutine function.
    """
    member = _named(text, "function", "a function")
    if not callable(member):
        raise InputError(f"{text} is {_article(type(member).__name__)}: it must be a function")
    if inspect.isgeneratorfunction(member) or inspect.iscoroutinefunction(member):
        raise InputError(f"{text} yields or awaits: it must be a function that returns its answer")
    return member


def guarded(text: str, function: Callable[..., Member], doing: str = "") -> Callable[..., Member]:
    """`function`, with what code of FILE.py:NAME raises or exits with as an InputError of one line with its place;
    `doing` says before "raised" what was done. InputErrors pass."""
    file = str(Path(text.rpartition(":")[0]).absolute())

    def called(*arguments: Any, **named: Any) -> Member:
        try:
            return function(*arguments, **named)
        except InputError:
            raise
        except (Exception, SystemExit) as error:
            raise InputError(f"{text}{doing} raised {raised_words(error, file=file)}: correct it") from error

    return called


def _named(text: str, what: str, wanted: str) -> Any:
    """The object NAME of FILE.py; InputErrors as of `load_member`, which say what is wanted."""
    place, _, name = text.rpartition(":")
    if not place.endswith(".py") or not name.isidentifier():
        raise InputError(f"{text!r} names no {what}: write FILE.py:NAME, NAME {wanted}")
    module = _run(Path(place))
    if not hasattr(module, name):
        near = nearest(name, [each for each in vars(module) if not each.startswith("_")])
        raise InputError(f"{place} defines no {name}{near}: name {wanted} of it")
    return getattr(module, name)


def raised_words(error: BaseException, start: tuple[str, int] | None = None, file: str | None = None) -> str:
    """Kind, text and place of what a user's code raised, in one line: "ValueError: no such thing (mine.py, line 3)".

    The place is that of a syntax error, else the innermost line in `file`, or outside the caller's module and Python's
    importer; `start` (file, line) stands in where there is none, as when the call itself did not fit.
    """
    frames = traceback.extract_tb(error.__traceback__)
    caller = frames[0].filename if frames else ""
    places = [(f.filename, f.lineno) for f in frames if f.filename != caller and not f.filename.startswith("<frozen")]
    places = [(name, line) for name, line in places if name == file] or places
    place = places[-1] if places else start
    words: object = error
    if isinstance(error, SyntaxError):
        place, words = (error.filename, error.lineno or 1) if error.filename else None, error.msg
    shown = " ".join(str(words).split())
    where = f" ({place[0]}, line {place[1]})" if place else ""
    return f"{type(error).__name__}{': ' if shown else ''}{shown[:_LONGEST]}{where}"


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'AEIOUaeiou' else 'a'} {noun}"


def _run(path: Path) -> ModuleType:
    """The module that a file makes when it is run. InputError where it is missing, unreadable, raises or exits."""
    if not path.is_file():
        raise InputError(f"no file {path}: name an existing one, as FILE.py:NAME")
    module_name = f"_user_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    earlier = sys.modules.get(module_name)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        if earlier is None:
            del sys.modules[module_name]
        else:
            sys.modules[module_name] = earlier
        if isinstance(error, OSError) and error.filename == str(path):
            raise InputError(f"{path} cannot be read ({error.strerror}): give a Python file") from error
        raise InputError(f"running {path} raised {raised_words(error)}: correct it") from error
    return module
