"""Options on the command line: plain, wild, missing, twice, unknown, or not made for each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tests.fuzz.mutate import NUMBERS, pick

__all__ = ["WILD", "line", "output"]

Rng = np.random.Generator
WILD = (
    *NUMBERS, *NUMBERS, "", " ", "abc", "1,2", "1,1", ",", "1_000", "0x10", "½", "١", "\udcff", "9" * 400, "1e-400",
    "--", "é", "a\nb", "inf", "+inf", "nan", "-inf", "1e6", "10**9", "1000000000000", "[bold]", "None",
    "true", "%s", "*",
)  # fmt: skip


def line(
    rng: Rng, odd: bool, options: Mapping[str, Sequence[str]], flags: Sequence[str] = (), chance: float = 0.3
) -> list[str]:
    """Options in any order, each with probability `chance`; where `odd`, one of them often has a wild value.

    `options`: name to plain values; a name that starts with "*" is repeatable, a tab parts two values, and a value
    that starts with "!" is wrong, for odd lines alone. One odd line in eight breaks the grammar.
    """
    words: list[list[str]] = []
    wild = pick(rng, list(options)) if odd and rng.random() < 0.5 else None
    for name, values in options.items():
        usable = [value.removeprefix("!") for value in values if odd or not value.startswith("!")]
        if name != wild and (not usable or rng.random() > chance):
            continue
        value = pick(rng, WILD) if name == wild else pick(rng, usable)
        name = name.removeprefix("*")
        joined = "\t" not in value and rng.random() < 0.2
        words.append([f"{name}={value}"] if joined else [name, *value.split("\t")])
        if "*" + name in options and rng.random() < 0.5:
            words.append([name, pick(rng, usable)])
    words += [[flag] for flag in flags if rng.random() < 0.4]
    rng.shuffle(words)
    flat = [word for group in words for word in group]
    return _broken(rng, flat) if odd and rng.random() < 0.12 else flat


def _broken(rng: Rng, words: list[str]) -> list[str]:
    action = rng.integers(6)
    if action == 0:
        return [*words, pick(rng, ("--nope", "-x", "--nope=1", "-", "---"))]
    if action == 1:
        return [*words, pick(rng, ("more", "", "é", "\udcff"))]
    if action == 2 and words:
        return words[:-1]
    if action == 3:
        return words + words
    if action == 4:
        return [*words, pick(rng, ("--n", "--beta", "--out", "--seed", "--threshold", "--json=1", "--"))]
    return [*words, "--help"]


def output(rng: Rng, odd: bool, name: str) -> tuple[str, dict[str, bytes | str]]:
    """(path of an output called `name`, what the folder holds for it): mostly a new file; else an old file, a folder, a
    link, a full disk, a missing parent, a file in place of a parent."""
    kind = rng.integers(14) if odd else rng.integers(3, 30)
    if kind == 6 and not odd:
        return name, {}
    if kind == 0:
        return name, {name: b"old\n"}
    if kind == 1:
        return name, {name: "folder"}
    if kind == 2:
        return name, {name: "full"}
    if kind == 3:
        return name, {name: "link:target-" + name, "target-" + name: b"old\n"}
    if kind == 4:
        return name, {name: "link:absent-" + name}
    if kind == 5:
        return "new/parent/" + name, {}
    if kind == 6:
        return "file/" + name, {"file": b"a file\n"}
    if kind == 7 and odd:
        return pick(rng, ("", ".", "..", "x" * 300, "a\udcff" + name, name + "/", "é " + name)), {}
    return name, {}
