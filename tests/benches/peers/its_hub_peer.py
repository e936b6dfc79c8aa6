"""its_hub: best-of-n, self-consistency, particle filtering and particle Gibbs (Red Hat AI Innovation)."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benches.peers.enumerate_law import Choose, exact_law
from tests.benches.peers.its_hub_particles import PARTICLE_CASES
from tests.benches.peers.peer_record import Case, Law, Peer, fixed, point
from tests.benches.peers.selection_programs import best_of_n_law, most_common, selected_law, shared

__all__ = ["PEER"]

_ANSWERS, _CHANCES = ("w", "x", "y", "z"), [0.4, 0.3, 0.2, 0.1]
_REWARDS = [0.1, 0.5, 0.5, 0.9]
_PAIRS = tuple(f"Method: {m} Answer: {a}" for m in ("p", "q") for a in ("1", "2"))
_PAIR_CHANCES = [0.06, 0.39, 0.22, 0.33]


def _majority(choose: Choose, drawn: list[int]) -> int:
    return drawn[shared(choose, most_common(drawn))]


def _among_answered(choose: Choose, drawn: list[int]) -> int:
    answered = [i for i, y in enumerate(drawn) if y > 0]
    return drawn[shared(choose, most_common(drawn, answered))] if answered else 0


def _by_levels(choose: Choose, drawn: list[int], order: tuple[int, int] = (0, 1)) -> int:
    places = list(range(len(drawn)))
    for level in order:
        places = most_common([divmod(y, 2)[level] for y in drawn], places)
    return drawn[shared(choose, places)]


def _adaptive(threshold: float, budget: int = 8) -> Law:
    """Two answers, then as many again, until the most frequent has the threshold's share or the budget is spent."""

    def program(choose: Choose) -> int:
        drawn: list[int] = []
        while len(drawn) < budget:
            drawn += [choose([0.5, 0.3, 0.2]) for _ in range(max(2, len(drawn)))]
            share = max(drawn.count(y) for y in drawn) / len(drawn)
            if share >= threshold:
                break
        return _majority(choose, drawn)

    return lambda: exact_law(program, 3)


def _votes(n: int) -> Law:
    return selected_law([0.5, 0.3, 0.2], n, _majority)


def _best_of_n(n: int, texts: Sequence[str | None] = _ANSWERS, id: str = "") -> Case:
    rivals = {
        "one_fewer": ("n − 1 candidates", best_of_n_law(_CHANCES, _REWARDS, n - 1)),
        "one_more": ("n + 1 candidates", best_of_n_law(_CHANCES, _REWARDS, n + 1)),
        "lowest": ("the lowest reward wins", best_of_n_law(_CHANCES, _REWARDS, n, -1.0)),
        "first_candidate": ("the first candidate", fixed(_CHANCES)),
    }
    return Case(
        id or f"best_of_n_{n}",
        "best_of_n",
        {"texts": texts, "chances": _CHANCES, "rewards": _REWARDS, "n": n},
        "Generates N candidate responses and selects the highest-scoring one using a reward model.",
        "docs/algorithms.md of the repository (August 2025)",
        tuple(str(text) for text in texts),
        best_of_n_law(_CHANCES, _REWARDS, n),
        rivals if n > 1 else {"one_more": rivals["one_more"]},
    )


_CASES = (
    _best_of_n(1),
    _best_of_n(3),
    _best_of_n(3, ("w", None, "y", "z"), "best_of_n_3_none"),
    Case(
        "self_consistency_4",
        "self_consistency",
        {"texts": ("x", "y", "z"), "chances": [0.5, 0.3, 0.2], "n": 4},
        "Generates multiple responses and selects the most common answer.",
        "docs/algorithms.md of the repository (August 2025)",
        ("x", "y", "z"),
        _votes(4),
        dict(
            one_fewer=("n − 1 votes", _votes(3)),
            any_candidate=("any candidate", _votes(1)),
        ),
        draws=12_000,
    ),
    Case(
        "self_consistency_ties",
        "self_consistency",
        {"texts": ("x", "y", "z"), "sequence": [0, 1, 1, 0, 2], "n": 5},
        "if there are multiple elements with the same count, a random one is selected",
        "comment of _select_most_common_or_random",
        ("x", "y", "z"),
        fixed([0.5, 0.5, 0.0]),
        stands_on="comment",
        rivals=dict(
            ties_to_first=("of equal ones the first given", point(0, 3)),
            ties_to_last=("of equal ones the last to arrive at its count", point(1, 3)),
            any_candidate=("any candidate", fixed([0.4, 0.4, 0.2])),
        ),
    ),
    Case(
        "self_consistency_no_answer",
        "self_consistency",
        {
            "texts": ("I do not know", "Answer: 1", "Answer: 2"),
            "chances": [0.4, 0.35, 0.25],
            "n": 4,
            "patterns": r"Answer: (\d)",
        },
        "If no match is found for a pattern, None is used for that position.",
        "docstring of create_regex_projection_function",
        ("no answer", "1", "2"),
        selected_law([0.4, 0.35, 0.25], 4, _majority),
        dict(
            none_ignored=("answers alone vote", selected_law([0.4, 0.35, 0.25], 4, _among_answered)),
            any_candidate=("any candidate", fixed([0.4, 0.35, 0.25])),
        ),
        draws=6000,
    ),
    Case(
        "self_consistency_levels",
        "self_consistency",
        {
            "texts": _PAIRS,
            "chances": _PAIR_CHANCES,
            "n": 5,
            "patterns": [r"Method: (\w)", r"Answer: (\d)"],
        },
        "earlier patterns in the list represent higher hierarchy levels",
        "docstring of create_regex_projection_function",
        ("p1", "p2", "q1", "q2"),
        selected_law(_PAIR_CHANCES, 5, _by_levels),
        dict(
            flat=("pairs are counted", selected_law(_PAIR_CHANCES, 5, _majority)),
            levels_exchanged=(
                "the last pattern votes first",
                selected_law(_PAIR_CHANCES, 5, lambda choose, drawn: _by_levels(choose, drawn, (1, 0))),
            ),
            first_level_alone=(
                "the first pattern alone votes",
                selected_law(
                    _PAIR_CHANCES,
                    5,
                    lambda choose, drawn: drawn[shared(choose, most_common([y // 2 for y in drawn]))],
                ),
            ),
        ),
    ),
    Case(
        "adaptive_self_consistency",
        "self_consistency",
        {"texts": ("x", "y", "z"), "chances": [0.5, 0.3, 0.2], "n": 8, "threshold": 0.75},
        "Starts with 2 samples, checks if a supermajority (default 75%) agree, and doubles the sample count each round "
        "until the budget is reached.",
        "docstring of AdaptiveSelfConsistency",
        ("x", "y", "z"),
        _adaptive(0.75),
        dict(
            never_stops=("all 8 vote", _votes(8)),
            two_votes=("2 vote", _votes(2)),
        ),
        draws=14_000,
    ),
    *PARTICLE_CASES,
)

PEER = Peer(
    "its-hub",
    "its-hub",
    "1.2.0",
    "https://github.com/Red-Hat-AI-Innovation-Team/its_hub",
    _CASES,
    "A language model that is a table, a process reward model that is another. Particle filtering is marked "
    "experimental by the library.",
)
