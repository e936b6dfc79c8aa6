"""dspy: `BestOfN` and `majority` (Stanford NLP)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.benches.peers.enumerate_law import Choose, exact_law
from tests.benches.peers.peer_record import Case, Law, Peer, fixed, point
from tests.benches.peers.selection_programs import best_of_n_law, most_common, selected_law, shared

__all__ = ["PEER"]

_TEXTS, _CHANCES, _REWARDS = ("w", "x", "y", "z"), [0.4, 0.3, 0.2, 0.1], [0.1, 0.5, 0.5, 0.9]
_BEST = {"texts": _TEXTS, "chances": _CHANCES, "rewards": _REWARDS}
_FAILURE, _ALLOWED = 0.4, "fail_count: Number of allowed failures before raising an exception."
_FAILED = (*_TEXTS, "None", "raises")
_DOC = "docstring of BestOfN"
_REPORTS = "https://github.com/stanfordnlp/dspy/issues/10312, with pull requests #9301, #10133, #10153"


def _threshold(strict: bool = False) -> Law:
    """The first of three whose reward is 0.5 or more, else the best."""

    def program(choose: Choose) -> int:
        drawn: list[int] = []
        while len(drawn) < 3:
            drawn.append(choose(_CHANCES))
            if _REWARDS[drawn[-1]] > 0.5 or (_REWARDS[drawn[-1]] == 0.5 and not strict):
                return drawn[-1]
        return max(drawn, key=lambda y: _REWARDS[y])

    return lambda: exact_law(program, 4)


def _with_failures(allowed: int, as_coded: bool = False) -> Law:
    """Three attempts, each of which may fail: raises at the failure after the allowed ones.

    As coded: at a failure whose index is larger than what is left of the count, which shrinks with every failure.
    """

    def program(choose: Choose) -> int:
        left, failures, drawn = allowed, 0, []
        for index in range(3):
            if choose([_FAILURE, 1.0 - _FAILURE]) == 0:
                failures += 1
                if (index > left) if as_coded else (failures > allowed):
                    return 5
                left -= 1
            else:
                drawn.append(choose(_CHANCES))
        return max(drawn, key=lambda y: _REWARDS[y]) if drawn else 4

    return lambda: exact_law(program, 6)


def _repeated(calls: int = 5) -> Law:
    """How many calls of one object with fail_count = 3 return, where the count shrinks from call to call."""

    def law() -> np.ndarray:
        # chances of what is left of the count, before each call
        left, out = {3: 1.0}, np.zeros(calls + 1)
        for call in range(calls):
            after: dict[int, float] = {}
            for count, chance in left.items():
                for code in range(8):
                    fails = [code >> k & 1 for k in range(3)]
                    p = chance * float(np.prod([_FAILURE if f else 1.0 - _FAILURE for f in fails]))
                    rest = count
                    for index in range(3):
                        if fails[index] and index > rest:
                            out[call] += p
                            break
                        rest -= fails[index]
                    else:
                        after[rest] = after.get(rest, 0.0) + p
            left = after
        out[calls] = sum(left.values())
        return out

    return law


def _earliest(choose: Choose, drawn: list[int]) -> int:
    answered = [i for i, y in enumerate(drawn) if y > 0]
    return drawn[most_common(drawn, answered)[0]] if answered else 0


def _one_chance_each(choose: Choose, drawn: list[int]) -> int:
    return drawn[shared(choose, most_common(drawn))]


_BEST_OF_3 = Case(
    "best_of_n_3",
    "best_of_n",
    _BEST | {"n": 3},
    "Runs a module up to N times and returns the highest-scoring prediction.",
    _DOC,
    _TEXTS,
    best_of_n_law(_CHANCES, _REWARDS, 3),
    {
        "one_fewer": ("n − 1 attempts", best_of_n_law(_CHANCES, _REWARDS, 2)),
        "one_more": ("n + 1 attempts", best_of_n_law(_CHANCES, _REWARDS, 4)),
        "lowest": ("the lowest reward wins", best_of_n_law(_CHANCES, _REWARDS, 3, -1.0)),
        "first_candidate": ("the first attempt", fixed(_CHANCES)),
    },
    draws=2000,
)
_TWICE = [p * p for p in _CHANCES]
_CASES = (
    replace(
        _BEST_OF_3,
        id="best_of_n_1",
        settings=_BEST | {"n": 1},
        law=fixed(_CHANCES),
        rivals={"one_more": ("n + 1 attempts", best_of_n_law(_CHANCES, _REWARDS, 2))},
    ),
    _BEST_OF_3,
    replace(
        _BEST_OF_3,
        id="best_of_n_threshold",
        settings=_BEST | {"n": 3, "threshold": 0.5},
        quotation="or the first attempt whose reward meets or exceeds threshold (whichever comes first)",
        law=_threshold(),
        rivals={
            "threshold_strict": ("a reward that equals the threshold goes on", _threshold(strict=True)),
            "threshold_ignored": ("all attempts are made", best_of_n_law(_CHANCES, _REWARDS, 3)),
        },
    ),
    replace(
        _BEST_OF_3,
        id="best_of_n_temperature",
        settings=_BEST | {"n": 3, "temperature": 0.5},
        quotation="the module is called with a different rollout ID at temperature=1.0 to encourage output diversity",
        rivals={
            "temperature_kept": (
                "the temperature of the model as configured, 0.5",
                best_of_n_law([p / sum(_TWICE) for p in _TWICE], _REWARDS, 3),
            )
        },
    ),
    *(
        Case(
            f"fail_count_{allowed}",
            "failing",
            _BEST | {"n": 3, "failure": _FAILURE, "fail_count": allowed},
            _ALLOWED,
            f"{_DOC}; fail_count = {allowed}, N = 3, each attempt fails with probability 0.4",
            _FAILED,
            _with_failures(allowed),
            {
                "index_compared": (
                    "the attempt's index is compared with what is left of the count, which shrinks with each failure",
                    _with_failures(allowed, as_coded=True),
                ),
                "default": ("N failures are allowed", _with_failures(3)),
                "default_index_compared": (
                    "as index_compared, with N for fail_count",
                    _with_failures(3, as_coded=True),
                ),
            }
            | ({"one_fewer_allowed": ("raised when as many have failed", _with_failures(0))} if allowed else {}),
            draws=2000,
            remark=remark,
            script=script,
            known=_REPORTS,
        )
        for allowed, remark, script in (
            (
                0,
                "`self.fail_count = fail_count or N`: 0 is taken for not given, so that the first failure is not "
                "raised.",
                "dspy_fail_count_0.py",
            ),
            (
                1,
                "`if idx > self.fail_count: raise`, then `self.fail_count -= 1`: the index of the attempt is compared, "
                "not the number of failures, so that a single failure at the third attempt is raised.",
                "dspy_fail_count_1.py",
            ),
        )
    ),
    Case(
        "fail_count_over_calls",
        "failing",
        _BEST | {"n": 3, "failure": _FAILURE, "calls": 5},
        f"{_ALLOWED} Defaults to N if not provided.",
        f"{_DOC}; five calls of one object, N = 3",
        tuple(f"{k} return" for k in range(6)),
        point(5, 6),
        {"carried_over": ("failures of earlier calls are counted too", _repeated())},
        draws=500,
        remark="`self.fail_count -= 1` stays for the next call, so that an object that has seen N failures over all "
        "its calls raises at later ones.",
        script="dspy_fail_count_over_calls.py",
        known=_REPORTS,
    ),
    Case(
        "majority_5",
        "majority",
        {"texts": ("x", "y", "z"), "chances": [0.5, 0.3, 0.2], "n": 5},
        "Returns the most common completion for the target field",
        "docstring of majority",
        ("x", "y", "z"),
        selected_law([0.5, 0.3, 0.2], 5, _one_chance_each),
        {
            "any_candidate": ("any completion", fixed([0.5, 0.3, 0.2])),
            "first_three": ("three votes", selected_law([0.5, 0.3, 0.2], 3, _one_chance_each)),
        },
    ),
    Case(
        "majority_ties",
        "majority",
        {"texts": ("x", "y", "z"), "sequence": [2, 1, 0, 0, 1], "n": 5},
        "In case of a tie, earlier completion are prioritized.",
        "docstring of majority; completions z, y, x, x, y",
        ("x", "y", "z"),
        point(1, 3),
        {
            "ties_at_random": ("equal ones at random", fixed([0.5, 0.5, 0.0])),
            "first_to_get_there": ("the first that has its votes", point(0, 3)),
        },
        draws=500,
    ),
    Case(
        "majority_none",
        "majority",
        {"texts": ("", "x", "y"), "chances": [0.4, 0.35, 0.25], "n": 4},
        "When normalize returns None, that completion is ignored.",
        "docstring of majority; the empty answer is normalized to None, and all four are empty with probability 0.03",
        ("(empty)", "x", "y"),
        selected_law([0.4, 0.35, 0.25], 4, _earliest),
        {"none_votes": ("None is an answer like others", selected_law([0.4, 0.35, 0.25], 4, _one_chance_each))},
    ),
)

PEER = Peer(
    "dspy",
    "dspy",
    "3.4.1",
    "https://github.com/stanfordnlp/dspy",
    _CASES,
    "A language model that is a table (a subclass of `BaseLM`), and modules that fail by chance.",
)
