"""bestofn: selectors over a pool of answers (Interlace AI)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, fsum

from tests.benches.peers.enumerate_law import Choose
from tests.benches.peers.peer_record import Case, Law, Peer, fixed, point
from tests.benches.peers.selection_programs import most_common, selected_law, shared

__all__ = ["PEER"]

_ANSWERS, _CHANCES, _SCORES, _LOGPROBS = ("1", "2", "3"), [0.5, 0.3, 0.2], [0.25, 0.5, 0.75], [-1.0, -0.5, -0.25]
_TIES = "every tie breaks on the canonical key rather than on which trajectory came first"
_DOC = "docstring of bestofn.select"


def _votes(n: int, ties: Callable[[Choose, list[int]], int], abstains: bool = False) -> Law:
    """The most frequent of n; `ties` takes one of equal ones; the first answer abstains, or votes too."""

    def select(choose: Choose, drawn: list[int]) -> int:
        answered = [i for i, y in enumerate(drawn) if y > 0 or not abstains]
        return ties(choose, [drawn[i] for i in most_common(drawn, answered)]) if answered else 0

    return selected_law(_CHANCES, n, select)


def _weighted(n: int, weights: Sequence[float], largest: bool = False) -> Law:
    """The answer of the largest total weight, or of the largest weight; ties to the smallest answer."""

    def select(_: Choose, drawn: list[int]) -> int:
        return min(set(drawn), key=lambda y: (-weights[y] if largest else -fsum([weights[y]] * drawn.count(y)), y))

    return selected_law(_CHANCES, n, select)


def _smallest(_: Choose, equal: list[int]) -> int:
    return min(equal)


def _case(id: str, quotation: str, law: Law, rivals: dict[str, tuple[str, Law]], **settings: object) -> Case:
    answers = settings.pop("answers", _ANSWERS)
    labels = tuple(answer or "(empty)" for answer in answers)  # type: ignore[attr-defined]
    return Case(id, "selected", {"answers": answers} | settings, quotation, _DOC, labels, law, rivals)


_EXPECTED = (
    "docstring of bestofn.select; law tested: any trajectory, one that abstains too (the word is not defined there)"
)
_RANDOM = "random: uniformly random trajectory. The baseline every other selector must beat."
_ABSTAINING = Case(
    "random_abstaining",
    "selected",
    {"answers": ("", "1", "2"), "method": "random", "pool": [0, 1, 1, 2]},
    _RANDOM,
    _EXPECTED,
    ("(empty)", "1", "2"),
    fixed([0.25, 0.5, 0.25]),
    {"answering_alone": ("one of those that answer", fixed([0.0, 2 / 3, 1 / 3]))},
    stands_on="expectation",
    remark="Trajectories without an answer are left out before the draw, so that the baseline is that of those that "
    "answer.",
    script="bestofn_random_abstaining.py",
)
_CASES = (
    _case(
        "random",
        _RANDOM,
        fixed([0.5, 0.25, 0.25]),
        {
            "any_answer": ("any of the answers", fixed([1 / 3] * 3)),
            "majority": ("the most frequent", point(0, 3)),
        },
        method="random",
        pool=[0, 0, 1, 2],
    ),
    _ABSTAINING,
    _case(
        "majority_4",
        _TIES,
        _votes(4, _smallest),
        {
            "ties_at_random": ("equal ones at random", _votes(4, shared)),
            "ties_to_largest": ("the largest of equal ones", _votes(4, lambda _, equal: max(equal))),
        },
        method="majority",
        chances=_CHANCES,
        n=4,
    ),
    _case(
        "majority_one",
        _TIES,
        fixed(_CHANCES),
        {"first": ("the first answer", point(0, 3))},
        method="majority",
        chances=_CHANCES,
        n=1,
    ),
    _case(
        "majority_shuffled",
        "Shuffle the samples and every selector except random […] returns the same answer. […] An exact tie "
        "is broken towards the lexicographically smallest canonical key.",
        point(2, 4),
        {
            "ties_to_first": ("of equal ones the one that stands first", fixed([0.0, 0.5, 0.5, 0.0])),
            "ties_by_number": ("the smallest number", point(1, 4)),
        },
        method="majority",
        answers=("1", "2", "10", "3"),
        pool=[3, 2, 1, 1, 2],
    ),
    _case(
        "majority_abstaining",
        'answer: extracted answer string. "" means the trajectory abstains.',
        _votes(4, _smallest, abstains=True),
        {"abstentions_vote": ("the empty answer votes", _votes(4, _smallest))},
        method="majority",
        answers=("", "1", "2"),
        chances=_CHANCES,
        n=4,
    ),
    _case(
        "verifier",
        "verifier: weights each vote by an external P(correct) score.",
        _weighted(3, _SCORES),
        {
            "largest": ("the largest score wins", _weighted(3, _SCORES, largest=True)),
            "unweighted": ("votes are counted", _votes(3, _smallest)),
        },
        method="verifier",
        chances=_CHANCES,
        n=3,
        scores=_SCORES,
    ),
    _case(
        "verifier_argmax",
        "verifier_argmax: returns the single highest-scored trajectory.",
        _weighted(3, [0.5, 0.5, 0.25], largest=True),
        {
            "weighted": ("scores of an answer are added", _weighted(3, [0.5, 0.5, 0.25])),
            "ties_to_largest": ("the largest of equal ones", _weighted(3, [0.5, 0.5001, 0.25], largest=True)),
        },
        method="verifier_argmax",
        chances=_CHANCES,
        n=3,
        scores=[0.5, 0.5, 0.25],
    ),
    _case(
        "self_certainty",
        "self_certainty: weights each vote by exp(mean token log-probability).",
        _weighted(3, [exp(x) for x in _LOGPROBS]),
        {
            "largest": ("the largest weight wins", _weighted(3, _LOGPROBS, largest=True)),
            "unweighted": ("votes are counted", _votes(3, _smallest)),
        },
        method="self_certainty",
        chances=_CHANCES,
        n=3,
        logprobs=_LOGPROBS,
    ),
)

PEER = Peer(
    "bestofn",
    "bestofn",
    "1.1.7",
    "https://pypi.org/project/bestofn/",
    _CASES,
    "Pools in random order. Without math-verify, so that answers are compared as text.",
)
