"""The task `facts`: questions of yes or no, about what belongs to which kind and which number is larger."""

from __future__ import annotations

import numpy as np

from llm_check.models.tasks.written import WrittenTask

__all__ = ["FACTS"]

# kind -> its members; those after which no article stands begin with a capital letter, or are colors
_KINDS = {
    "an animal": "dog cat horse cow lion tiger rabbit mouse sheep goat wolf bear fox deer camel frog duck",
    "a fruit": "apple banana pear peach mango lemon cherry plum grape melon fig kiwi",
    "a tool": "hammer saw drill wrench shovel rake axe screwdriver chisel pliers",
    "a vehicle": "car bus truck train bicycle tram ship boat airplane tractor",
    "a musical instrument": "piano violin guitar flute trumpet drum harp cello clarinet",
    "a piece of clothing": "shirt jacket coat hat skirt sweater scarf glove sock",
    "a country": "France Spain Japan Brazil India Egypt Canada Italy Kenya Norway Poland Chile",
    "a city": "Paris London Tokyo Madrid Berlin Rome Cairo Moscow Sydney Toronto",
    "a color": "red blue green yellow pink purple brown black white",
}
_LARGEST = 60


def _named(kind: str, member: str) -> str:
    if kind == "a color" or member[0].isupper():
        return member
    return f"{'an' if member[0] in 'aeiou' else 'a'} {member}"


def _write(rng: np.random.Generator) -> tuple[str, str, tuple[str, ...]]:
    yes = bool(rng.integers(2))
    if rng.integers(2):
        low, high = np.sort(rng.choice(np.arange(1, _LARGEST + 1), size=2, replace=False)).tolist()
        first, second = (high, low) if yes else (low, high)
        question = f"Is {first} larger than {second}?"
    else:
        asked, other = (str(kind) for kind in rng.choice(list(_KINDS), size=2, replace=False))
        kind = asked if yes else other
        question = f"Is {_named(kind, str(rng.choice(_KINDS[kind].split())))} {asked}?"
    return question, "yes" if yes else "no", ("yes" if yes else "no",)


FACTS = WrittenTask(
    write=_write,
    turns=(
        ("Is an elephant an animal?", "Yes."),
        ("Is 70 larger than 95?", "No."),
        ("Is Peru a country?", "Yes."),
        ("Is gray a tool?", "No."),
    ),
    max_tokens=6,
)
