"""its_hub: best-of-n, self-consistency, particle filtering and particle Gibbs (Red Hat AI Innovation)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp

from tests.benches.peers.enumerate_law import Choose, exact_law, systematic_shares
from tests.benches.peers.peer_record import Case, Law, Peer, fixed, point
from tests.benches.peers.selection_programs import best_of_n_law, most_common, selected_law, shared

__all__ = ["PEER", "Filter", "filter_law"]


@dataclass(frozen=True)
class Filter:
    """A particle filter on a toy model: `first`, then `after` the last step, `length` steps, or fewer where a step of
    `stops` ends it; the score of a prefix gives weight s/(1 − s), the exponential of the logit.

    resampling: multinomial, systematic, none; last: whether the last step is resampled too; final: sample, argmax,
    uniform; ended: the weight of particles that had ended, "final" or "one"; weight: odds, score, exponential;
    iterations with one reference particle, weighed by its prefix ("partial") or as a whole ("final").
    """

    first: Sequence[float]
    after: Sequence[Sequence[float]]
    scores: Mapping[str, float]
    n: int
    length: int = 2
    stops: Sequence[int] = ()
    resampling: str = "multinomial"
    last: bool = True
    final: str = "sample"
    ended: str = "final"
    weight: str = "odds"
    iterations: int = 1
    reference: str = "partial"

    def over(self, particle: str) -> bool:
        return len(particle) == self.length or bool(particle and int(particle[-1]) in self.stops)

    def weigh(self, prefix: str) -> float:
        s = self.scores[prefix]
        return s / (1.0 - s) if self.weight == "odds" else s if self.weight == "score" else exp(s)

    def resample(self, choose: Choose, particles: list[str], weights: list[float], n: int) -> list[str]:
        shares = _shares(weights)
        if self.resampling == "systematic":
            chances, lists = systematic_shares(shares, n)
            return [particles[i] for i in lists[choose(chances)]]
        return [particles[choose(shares)] for _ in range(n)] if self.resampling == "multinomial" else particles[:n]

    def __call__(self, choose: Choose) -> str:
        reference: list[str] = []
        for _ in range(self.iterations):
            free = [""] * (self.n - len(reference))
            t = 0
            while not all(map(self.over, free)):
                t += 1
                weights = []
                for i, p in enumerate(free):
                    over = self.over(p)
                    free[i] = p if over else p + str(choose(self.after[int(p[-1])] if p else self.first))
                    weights.append(1.0 if over and self.ended == "one" else self.weigh(free[i]))
                weights += [self.weigh(p[:t] if self.reference == "partial" else p) for p in reference]
                if self.last or not all(map(self.over, free)):
                    free = [p[:t] for p in self.resample(choose, free + reference, weights, len(free))]
            particles = free + reference
            weights = [self.weigh(p) for p in particles]
            if self.iterations > 1:
                reference = [particles[choose(_shares(weights))]]
        if self.final == "argmax":
            return particles[weights.index(max(weights))]
        return particles[choose(_shares(weights if self.final == "sample" else [1.0] * len(particles)))]


def _shares(weights: list[float]) -> list[float]:
    total = sum(weights)
    return [weight / total for weight in weights]


def filter_law(program: Filter, outcomes: Sequence[str]) -> Law:
    """The exact law over `outcomes` of what the filter returns."""
    return lambda: exact_law(lambda choose: outcomes.index(program(choose)), len(outcomes))


_ANSWERS, _CHANCES = ("w", "x", "y", "z"), [0.4, 0.3, 0.2, 0.1]
_REWARDS = [0.1, 0.5, 0.5, 0.9]
_PAIRS = tuple(f"Method: {m} Answer: {a}" for m in ("p", "q") for a in ("1", "2"))
_PAIR_CHANCES = [0.3, 0.15, 0.2, 0.35]
_LEAVES = ("00", "01", "10", "11")
_TREE = {"first": [0.6, 0.4], "after": [[0.7, 0.3], [0.5, 0.5]]}
_SCORES = {"0": 0.3, "1": 0.6, "00": 0.2, "01": 0.5, "10": 0.7, "11": 0.4}
_TWO = Filter(scores=_SCORES, n=2, **_TREE)  # type: ignore[arg-type]
_EARLY = ("0", "10", "11")
# Toys on which the usual mistakes show: TV 0.04 to 0.13.
_STOPPING = replace(_TWO, stops=(0,), scores=_SCORES | {"0": 0.9, "1": 0.9, "10": 0.5, "11": 0.6})
_LOSING = Filter(
    [0.3, 0.7], [[0.2, 0.8], [0.5, 0.5]], _SCORES | {"0": 0.3, "1": 0.9, "00": 0.3, "01": 0.3, "11": 0.6}, n=2
)
_EVEN = Filter(
    [0.3, 0.7], [[0.3, 0.7], [0.8, 0.2]], {"0": 0.4, "1": 0.4, "00": 0.5, "01": 0.9, "10": 0.2, "11": 0.5}, n=2
)
_REFERRED = replace(_TWO, scores={"0": 0.5, "1": 0.8, "00": 0.2, "01": 0.9, "10": 0.1, "11": 0.1}, iterations=2)


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


def _filtering(id: str, program: Filter, outcomes: Sequence[str], method: str = "filtering", **options: object) -> dict:
    """What is common to cases of particles."""
    tree = {"first": program.first, "after": program.after, "length": program.length, "stops": program.stops}
    return {
        "id": id,
        "driver": "particles",
        "settings": tree
        | {"scores": program.scores, "outcomes": outcomes, "n": program.n * program.iterations, "method": method}
        | options,
        "outcomes": tuple(outcomes),
    }


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
            one_more=("n + 1 votes", _votes(5)),
            any_candidate=("any candidate", _votes(1)),
        ),
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
    ),
    Case(
        **_filtering("filtering_one", replace(_TWO, n=1), _LEAVES, final_response_selection="sample"),
        quotation="Particle Filtering | Number of particles",
        where="docs/algorithms.md of the repository (August 2025), column 'Budget Interpretation'",
        law=filter_law(replace(_TWO, n=1), _LEAVES),
        rivals=dict(two_particles=("two particles", filter_law(_TWO, _LEAVES))),
    ),
    Case(
        **_filtering("filtering_sample", _TWO, _LEAVES, final_response_selection="sample"),
        quotation="Uses probabilistic resampling to maintain diverse reasoning paths while focusing on promising "
        "directions.",
        where="docs/algorithms.md of the repository (August 2025); law tested: resampled by the weights of a step "
        "once, then all equal",
        stands_on="expectation",
        law=filter_law(replace(_TWO, final="uniform"), _LEAVES),
        rivals=dict(
            last_weights_twice=(
                "after the last step the particles are resampled by their weights, and one is drawn by them again",
                filter_law(_TWO, _LEAVES),
            ),
            never_resampled=("no resampling", filter_law(replace(_TWO, resampling="none"), _LEAVES)),
            scores_for_odds=(
                "weights are scores, not their odds",
                filter_law(replace(_TWO, weight="score", final="uniform"), _LEAVES),
            ),
            softmax_of_scores=(
                "weights e^s",
                filter_law(replace(_TWO, weight="exponential", final="uniform"), _LEAVES),
            ),
            argmax=("the largest weight wins", filter_law(replace(_TWO, final="argmax"), _LEAVES)),
        ),
        remark="`ainfer` resamples after every step, the last one too, and then draws the answer by the weights that "
        "it has resampled by: the last score counts twice, which is sharper than the particle filter of textbooks.",
        draws=8000,
        script="its_hub_filtering_sample.py",
    ),
    Case(
        **_filtering("filtering_argmax", _LOSING, _LEAVES),
        quotation="final_response_selection: … = SelectionMethod.ARGMAX",
        where="signature of ParticleFiltering; law tested: the last particle of the largest weight, none thrown away "
        "before",
        stands_on="expectation",
        law=filter_law(replace(_LOSING, last=False, final="argmax"), _LEAVES),
        rivals=dict(
            resampled_before=(
                "after the last step the particles are resampled, which may lose the best, then the best is taken",
                filter_law(replace(_LOSING, final="argmax"), _LEAVES),
            ),
            sample=("one is drawn by weight", filter_law(replace(_LOSING, last=False), _LEAVES)),
            never_resampled=("best of n", filter_law(replace(_LOSING, resampling="none", final="argmax"), _LEAVES)),
        ),
        remark="The particles are resampled after the last step too, so that the one of the largest weight is lost "
        "with probability (1 − its share)ⁿ before the largest is taken.",
        script="its_hub_filtering_argmax.py",
    ),
    Case(
        **_filtering(
            "filtering_systematic", _EVEN, _LEAVES, final_response_selection="sample", resampling_method="systematic"
        ),
        quotation="resampling_method: str | ResamplingMethod = ResamplingMethod.MULTINOMIAL",
        where="signature of ParticleFiltering, set to 'systematic'; its docstring: 'Any particle with a weights > 1/N "
        "should be resampled'",
        law=filter_law(replace(_EVEN, resampling="systematic"), _LEAVES),
        rivals=dict(
            multinomial=("multinomial resampling", filter_law(_EVEN, _LEAVES)),
            never_resampled=("no resampling", filter_law(replace(_EVEN, resampling="none"), _LEAVES)),
        ),
        remark="`ParticleFiltering.__init__` takes `resampling_method` and does not hand it to "
        "`ParticleGibbs.__init__`, so that it has no effect; `ParticleGibbs(…, resampling_method='systematic')` has: "
        "the next row.",
        script="its_hub_filtering_systematic.py",
    ),
    Case(
        **_filtering(
            "gibbs_1_systematic",
            _EVEN,
            _LEAVES,
            "gibbs",
            num_ref_particles=0,
            final_response_selection="sample",
            resampling_method="systematic",
        ),
        quotation="Particle Filtering (PF): num_iterations = 1",
        where="docstring of ParticleGibbs; law tested: systematic resampling after every step, the last one too",
        law=filter_law(replace(_EVEN, resampling="systematic"), _LEAVES),
        rivals=dict(multinomial=("multinomial resampling", filter_law(_EVEN, _LEAVES))),
    ),
    Case(
        **_filtering("filtering_stopped", _STOPPING, _EARLY, final_response_selection="sample"),
        quotation="Stopped particles use their final weight",
        where="comment in ParticleGibbs.ainfer; law tested: resampled by it after every step, the last one too",
        stands_on="comment",
        law=filter_law(_STOPPING, _EARLY),
        rivals=dict(
            weight_one=("stopped particles weigh 1", filter_law(replace(_STOPPING, ended="one"), _EARLY)),
            never_resampled=("no resampling", filter_law(replace(_STOPPING, resampling="none"), _EARLY)),
        ),
    ),
    Case(
        **_filtering(
            "gibbs_2",
            _REFERRED,
            _LEAVES,
            "gibbs",
            num_iterations=2,
            final_response_selection="sample",
        ),
        quotation="Use partial log weights at the current step for fair comparison",
        where="comment in ParticleGibbs.ainfer; law tested: two iterations, the reference particle weighed by its "
        "prefix",
        stands_on="comment",
        law=filter_law(_REFERRED, _LEAVES),
        rivals=dict(
            reference_by_final_weight=(
                "the reference particle is weighed by its final score at every step",
                filter_law(replace(_REFERRED, reference="final"), _LEAVES),
            ),
            one_iteration=("the reference is not used", filter_law(replace(_REFERRED, iterations=1), _LEAVES)),
        ),
        remark="The reference particle is stopped from the beginning, so the branch for stopped particles gives it its "
        "final weight at every step, where the comment asks for the partial one.",
        script="its_hub_gibbs_2.py",
    ),
    Case(
        "max_steps",
        "count_steps",
        {"max_steps": 2, "scores": {"0" * k: 0.5 for k in range(1, 6)}},
        "max_steps=32,               # Maximum number of steps",
        "docs/algorithms.md of the repository (August 2025), and the log line 'Generating step %s/%s'; set to 2",
        ("0", "1", "2 steps", "3 steps"),
        point(2, 4),
        dict(one_more=("one step more", point(3, 4)), one_fewer=("one step fewer", point(1, 4))),
        draws=500,
        remark="`StepGeneration.aforward` compares the number of steps before the new one with `max_steps`, so that "
        "one more is generated.",
        script="its_hub_max_steps.py",
    ),
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
