"""The process that grades mathematical answers: reads one JSON item a line, writes one JSON verdict a line.

Run by `llm_check.models.grading.worker_pool` as ``python -m llm_check.models.grading.worker``; it is single-threaded,
so that math-verify's alarm works. An answer is right when, in this order: the two are one string after notation is made
uniform; both are words, or one carries a numeral base, and they match; or math-verify finds them equal. Several answers
must match one to one, in any order. A comparison that raises or outlasts its limit is "failed", not wrong.
"""

from __future__ import annotations

import json
import math
import re
import resource
import sys
from collections.abc import Sequence
from typing import Any

from gsi_theory.types import Record
from llm_check.models.grading.answers import final_answers

__all__ = ["grade", "same_answer", "split_answers", "uniform"]

# Address space of a worker: a power tower is answered by MemoryError before the machine suffers.
_MEMORY = 4 << 30

# Relative error forgiven as rounding, where math-verify compares decimals: 0.06667 for 1/15 is not, 0.066667 is.
_ROUNDING = 1e-5

_SPACES = re.compile(r"(?<!\\)\\[,;:! ]|\\(?:quad|qquad|left|right|displaystyle|limits)(?![a-zA-Z])|~|\s+")
_REWRITES = tuple(
    (re.compile(pattern), new)
    for pattern, new in (
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"\\frac(\d)(\d)", r"\\frac{\1}{\2}"),
        (r"\\frac(\d)\{", r"\\frac{\1}{"),
        (r"\\(?:leqslant|le)(?![a-zA-Z])", r"\\leq"),
        (r"\\(?:geqslant|ge)(?![a-zA-Z])", r"\\geq"),
        (r"\\(?:mbox|mathrm|textbf|textrm|mathbf)(?![a-zA-Z])", r"\\text"),
        (r"−", "-"),
        (r"(?<![\w.])(\d+(?:\.\d*)?|\.\d+)[eE]([+-]?\d+)(?![\w.])", r"\1\\times 10^{\2}"),
        (r"\^\{?\\circ\}?|°", ""),
        (r"\\[$%]|[$%]", ""),
    )
)
_TRAILING_UNIT = re.compile(r"(?<=[\w})])\s*\\text\{\s*([^{}]*?)\s*\}(?:\^\{?(\d)\}?)?\s*$")
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_NAMED = re.compile(
    r"^\s*((?:[a-zA-Z](?:_\{?\w+\}?|_\{\\\w+\s*\})?|\\angle[A-Za-z\d_ {}]+)(?:\([a-z]\))?)\s*(?:=|\\in(?![a-z]))\s*"
)
_GROUPED = re.compile(r"^-?\d{1,3}(?:,\d{3})+(?:\.\d+)?$")
_BASED = re.compile(r"^([\dA-Fa-f]+)_\{?(\d+)\}?$")
# Four letters in a row are a word, not a product of variables; so is anything set as text.
_WORDS = re.compile(r"^\(?[A-Za-z]{4,}(?:[ ,'-]+[A-Za-z]+)*\)?$")
_ALL_TEXT = re.compile(r"^\$?\\text\{[^{}]*[A-Za-z]{2}[^{}]*\}\.?\$?$")


def uniform(answer: str) -> str:
    """`answer` with one spelling for what LaTeX writes in several ways: blanks, \\dfrac, degrees, units, dollars."""
    text = _spell(answer)
    without = _TRAILING_UNIT.sub("", text)
    text = _TEXT.sub(r"\1", without if without.strip() else text)
    text = _SPACES.sub(" ", text)
    text = re.sub(r"\s*([^\w\\\s]|_)\s*", r"\1", text)
    text = re.sub(r"(?<![\w.])\.(?=\d)", "0.", text).strip()
    return text.replace(",", "") if _GROUPED.match(text) else text


def _other_power(gold: str, given: str) -> bool:
    """Whether both answers have the same unit to different powers, as in cm^2 and cm^3."""
    ours, theirs = (_TRAILING_UNIT.search(_spell(answer)) for answer in (gold, given))
    same_word = ours is not None and theirs is not None and ours.group(1) == theirs.group(1)
    return bool(same_word and ours and theirs and ours.group(2) != theirs.group(2))


def _spell(answer: str) -> str:
    text = answer.strip().rstrip(".").strip()
    for pattern, new in _REWRITES:
        text = pattern.sub(new, text)
    return text


def _named(answer: str) -> tuple[str, str]:
    """("x", "5") of "x=5" or "x \\in 5"; ("", answer) where there is no name, or more than one relation."""
    match = _NAMED.match(answer)
    if match is None or re.search(r"=|\\in(?![a-z])", answer[match.end() :]):
        return "", answer
    return re.sub(r"[\s{}]", "", match.group(1)), answer[match.end() :]


def split_answers(answer: str, several: bool = False) -> list[str]:
    """The parts of "1,-2" or "$x$ and $y$", at commas outside brackets; \\pm makes two.

    A number with grouped thousands is one answer unless `several` says there are more.
    """
    text = re.sub(r"\\text\{\s*(?:and|or)\s*\}|(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])|;", ",", answer)
    text = re.sub(r"\\?[$]", "", text).strip().removesuffix(".")
    text = _without_braces(text)
    if not several and _GROUPED.match(uniform_commas(text)):
        return [text]
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "," and depth == 0 and not text[max(0, i - 1) : i].endswith("\\"):
            parts.append(text[start:i])
            start = i + 1
    parts = [part for part in (*parts, text[start:]) if part.strip()]
    return [sign for part in parts for sign in _signs(part)]


def _without_braces(text: str) -> str:
    """A set's elements without the braces around all of them."""
    text = re.sub(r"\\(?:left|right)(?=\\[{}])", "", text).strip()
    if text.startswith("\\{") and text.endswith("\\}") and "\\{" not in text[2:]:
        return text[2:-2]
    if text.startswith("{") and text.endswith("}"):
        depth = [text[: i + 1].count("{") - text[: i + 1].count("}") for i in range(len(text) - 1)]
        return text[1:-1] if min(depth) > 0 else text
    return text


def uniform_commas(text: str) -> str:
    """`text` without blanks, thin spaces and currency signs: "10,\\!080" is "10,080"."""
    return re.sub(r"\\[!,; ]|\\?[$]|\s+", "", text)


def _signs(part: str) -> list[str]:
    if part.count("\\pm") != 1:
        return [part]
    return [part.replace("\\pm", "+"), part.replace("\\pm", "-")]


def _numeric(value: Any) -> float | None:
    if not getattr(value, "is_number", False) or getattr(value, "is_Matrix", False):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, AttributeError):
        return None
    return number if math.isfinite(number) else None


def same_answer(gold: str, given: str, tolerance: float | None, limit: float) -> bool:
    """Whether two single answers are equal. Whatever math-verify raises comes through."""
    if _other_power(gold, given):
        return False
    ours, theirs = uniform(gold), uniform(given)
    (our_name, our_value), (their_name, their_value) = _named(ours), _named(theirs)
    if our_name and their_name and our_name != their_name:
        return False
    if our_name or their_name:
        ours, theirs = our_value, their_value
    if ours == theirs:
        return True
    if _WORDS.match(ours) or _ALL_TEXT.match(_spell(gold)):
        return ours.casefold().strip("() ") == theirs.casefold().strip("() ")
    if re.fullmatch(r"\(?[A-Z]\)?", ours):
        return ours.strip("()") == theirs.strip("()")
    if _BASED.match(ours) or _BASED.match(theirs):
        return _same_based(ours, theirs)
    return _same_mathematics(ours, theirs, tolerance, limit)


def _same_based(gold: str, given: str) -> bool:
    """Numerals with a base: the given one may leave the base out, but not name another."""
    ours, theirs = _BASED.match(gold), _BASED.match(given)
    if ours is None:
        return False
    if theirs is None:
        return ours.group(1) == given
    return ours.groups() == theirs.groups()


def _same_mathematics(gold: str, given: str, tolerance: float | None, limit: float) -> bool:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    seconds = max(1, math.ceil(limit))
    config = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    ours, theirs = (parse(f"${text}$", config, parsing_timeout=seconds, raise_on_error=True) for text in (gold, given))
    left, right = (_numeric(parsed[0]) if parsed else None for parsed in (ours, theirs))
    if verify(ours, theirs, timeout_seconds=seconds, raise_on_error=True):
        # math-verify rounds decimals to six places, which would make all small numbers equal.
        return left is None or right is None or math.isclose(left, right, rel_tol=_ROUNDING, abs_tol=0.0)
    if not any(not isinstance(value, str) for value in ours):
        raise ValueError(f"math-verify cannot read the reference answer {gold!r}")
    if tolerance is None:
        return False
    # The last factor forgives the rounding of decimal tolerances, as in |0.3 - 0.2| <= 0.1.
    return left is not None and right is not None and abs(left - right) <= tolerance * (1 + 1e-9)


def _matches(golds: Sequence[str], given: Sequence[str], tolerance: float | None, limit: float) -> bool:
    """Whether the given answers are the gold ones, one to one, in any order."""
    if len(golds) != len(given):
        return False
    left = list(given)
    for gold in golds:
        at = next((i for i, answer in enumerate(left) if same_answer(gold, answer, tolerance, limit)), None)
        if at is None:
            return False
        left.pop(at)
    return True


def grade(item: Record) -> Record:
    """The verdict on one item (`llm_check.models.grading.grading.grade_math` writes them)."""
    answers = final_answers(item["text"])
    if not answers:
        return {"verdict": "wrong", "reason": "no final answer in the text", "answer": None}
    several = bool(item["several"])
    golds = [part for answer in item["answers"] for part in split_answers(answer, several)]
    tolerance, limit = item["tolerance"], float(item["limit"])
    shown = ", ".join(answers)
    # Several boxes count as one list only where the problem has several answers; else the last one is the answer.
    given = [
        part for answer in (answers if len(golds) > 1 else answers[-1:]) for part in split_answers(answer, several)
    ]
    right = _matches(golds, given, tolerance, limit)
    if not right and len(golds) > 1 and len(answers) > 1:
        right = _matches(golds, split_answers(answers[-1], several), tolerance, limit)
    if right:
        return {"verdict": "right", "reason": "", "answer": shown}
    return {"verdict": "wrong", "reason": f"{shown} is not {', '.join(item['answers'])}", "answer": shown}


def _answer(line: str) -> Record:
    try:
        return grade(json.loads(line))
    except Exception as error:
        return {"verdict": "failed", "reason": f"{type(error).__name__}: {error}"[:300], "answer": None}
    except BaseException as error:  # math-verify's time limit is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        return {"verdict": "failed", "reason": f"{type(error).__name__}: {error}"[:300], "answer": None}


def main() -> None:
    """Answer items until standard input ends."""
    import math_verify  # noqa: F401  (a few seconds, before the first item's limit starts)

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    out = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints is no answer
    print("{}", file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(line)), file=out, flush=True)


if __name__ == "__main__":
    main()
