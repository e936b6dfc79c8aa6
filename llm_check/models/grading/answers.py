"""Final answers inside a solution's text: the last box, GSM8K's last line, the letter of a choice. Strings only."""

from __future__ import annotations

import re

__all__ = [
    "READINGS",
    "after_hashes",
    "boxes",
    "choice_letter",
    "final_answers",
    "known_reading",
    "last_box",
    "same_text",
    "stated_answer",
]

_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?=\{)|\\boxed\s+(?=[^\s{])")
_HASHES = re.compile(r"####[ \t]*([^\n]+)")
# What introduces an answer in prose; the answer is the rest of the sentence.
_INTRODUCED = re.compile(
    r"(?:final\s+answer|answer)\s*(?:is|are|:|=)\s*:?\s*(.+?)\s*(?:\.(?=\s|$)|\n|$)", re.IGNORECASE
)
_LETTER = re.compile(r"\(?\b([A-Z])\b\)?")


# Where a solution states its answer: as `final_answers` reads it; the last number of the text, or the last yes or no
# where the reference is one of these; the whole text.
READINGS = ("boxed", "last_number", "text")
_NUMBER = re.compile(r"(?<![\w.])[-−]?\$?\d+(?:,\d{3})*(?:\.\d+)?(?:/\d+)?")
_YES_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)


def known_reading(name: str) -> str:
    """One of READINGS. ValueError for another name."""
    if name not in READINGS:
        raise ValueError(f"use one of {', '.join(READINGS)}")
    return name


def stated_answer(text: str, reading: str, reference: str) -> str | None:
    """The answer that a text states under one of READINGS; None where it states none.

    "8 + 10 = 18." and "18" state 18 by last_number.
    """
    if reading == "boxed":
        answers = final_answers(text)
        return answers[-1] if answers else None
    if reading == "text":
        return text.strip() or None
    yes_or_no = reference.casefold() in ("yes", "no")
    found = _YES_NO.findall(text.lower()) if yes_or_no else _NUMBER.findall(text)
    return found[-1] if found else None


def same_text(answer: str, reference: str) -> bool:
    """Whether two texts are one but for capitals, blanks and a period at the end."""
    ours, theirs = (" ".join(part.split()).rstrip(".").rstrip().casefold() for part in (answer, reference))
    return ours == theirs


def boxes(text: str) -> list[tuple[int, str]]:
    """(position, content) of every closed \\boxed{...} or \\fbox{...} outside another one, braces balanced, in order.

    A box that never closes (a solution cut short) is left out; "\\boxed 7" holds its next word.
    """
    contents, at = [], 0
    while (match := _BOX.search(text, at)) is not None:
        start = match.end()
        if text[start] != "{":
            word = re.match(r"[^\s$]+", text[start:])
            at = start + (word.end() if word else 1)
            contents.append((match.start(), text[start:at]))
            continue
        depth, end = 0, start
        while end < len(text):
            escaped = end > 0 and text[end - 1] == "\\" and not (end > 1 and text[end - 2] == "\\")
            if not escaped and text[end] in "{}":
                depth += 1 if text[end] == "{" else -1
                if depth == 0:
                    break
            end += 1
        if end == len(text):
            at = start
            continue
        contents.append((match.start(), text[start + 1 : end]))
        at = end + 1
    return contents


def last_box(text: str) -> str | None:
    """The content of the last box, or None."""
    contents = boxes(text)
    return contents[-1][1] if contents else None


def after_hashes(text: str) -> str | None:
    """What follows the last "####" on its line (GSM8K), or None."""
    marked = _HASHES.findall(text)
    return marked[-1].strip() if marked else None


def final_answers(text: str) -> list[str]:
    """The final answer as the text gives it: the boxes of the last paragraph that has one (several boxes are several
    answers), else what follows "####", else what follows the last "answer is". Empty where there is none."""
    contents = boxes(text)
    if contents:
        cut = text.rfind("\n\n", 0, contents[-1][0]) + 1
        return [content for at, content in contents if at >= cut]
    marked = after_hashes(text)
    if marked is not None:
        return [marked]
    introduced = _INTRODUCED.findall(text)
    return [introduced[-1]] if introduced else []


def choice_letter(text: str, choices: tuple[str, ...]) -> str | None:
    """The letter of the chosen answer: of the last box or the introduced answer, or of the choice spelled out there.

    None where the text names no single choice.
    """
    letters = [chr(ord("A") + i) for i in range(len(choices))]
    for answer in reversed(final_answers(text)):
        plain = re.sub(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}", r"\1", answer).strip(" .$*:")
        spelled = [
            letter
            for letter, choice in zip(letters, choices, strict=True)
            if plain.casefold() == choice.strip(" .").casefold()
        ]
        if len(spelled) == 1:
            return spelled[0]
        lead = _LETTER.match(plain)
        named = {lead.group(1)} if lead else set(_LETTER.findall(plain))
        named &= set(letters)
        if len(named) == 1:
            return named.pop()
    return None
