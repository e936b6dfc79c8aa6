"""Does a sampler sample what it says? The bench of `gsi conform` as functions (M50).

    from gsi_theory.conform import assert_samples, conform
    conform(my_gsi, "gsi")                     # Conformance: conforms, or not, and what it is instead
    assert_samples(my_sampler, law)            # in a test: raises AssertionError where the draws refute the law

A sampler under test is a function from a `ToyProblem` to an outcome, an int of 0 … K−1: the problem draws from draft
and base, knows both policies, the reward, β, n, n_base, u and a generator, and counts what is drawn. It is played on
problems that were chosen, by the exact laws, to tell the method from every mistake of the catalogue that it can make.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.conformance.design import design_of, refusal
from gsi_theory.conformance.list_selectors import SELECTORS, CandidateList, selector_design
from gsi_theory.conformance.mistakes import MISTAKES, Mistake
from gsi_theory.conformance.play import Conformance, Nearest, play, whole_outcome
from gsi_theory.conformance.toy_problem import ToyProblem
from gsi_theory.errors import InputError
from gsi_theory.laws.selection_law import Law
from gsi_theory.methods import METHODS
from gsi_theory.types import Floats

__all__ = [
    "MISTAKES",
    "SELECTORS",
    "CandidateList",
    "Conformance",
    "Costs",
    "Mistake",
    "Nearest",
    "ToyProblem",
    "assert_samples",
    "conform",
    "conform_selector",
    "served_methods",
]

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Costs:
    """Draws of draft and base an outcome, averaged over the problems: seen, and as the method's law expects them."""

    drafts: float
    drafts_expected: float
    bases: float
    bases_expected: float


def served_methods() -> list[str]:
    """Ids of the methods that a problem of two policies can express."""
    return [method.id for method in METHODS.values() if not refusal(method)]


def conform(
    function: Callable[[ToyProblem], object],
    method: str,
    *,
    draws: int = 20_000,
    level: float = 0.01,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Conformance, Costs]:
    """Whether `function` samples what `method` (a key of METHODS) does, judged after every draw (M50).

    At most `draws` outcomes; a right sampler is refuted with probability at most `level`. Raises InputError for a
    method that no problem expresses, and as `conformance.play.play`.
    """
    design = design_of(method)
    problems = [
        ToyProblem(case.instance, case.scheme, np.random.default_rng([seed, m]), design.parameters[m])
        for m, case in enumerate(design.cases)
    ]
    outcome = play(
        lambda m: function(problems[m]),
        design.laws,
        design.errors,
        design.rivals,
        draws=draws,
        level=level,
        progress=progress,
    )
    played = np.array([count.sum() for count in outcome.counts], dtype=float)
    seen = np.array([(p.drafts, p.bases) for p in problems]) / np.maximum(played, 1.0)[:, None]
    means = [*seen.mean(axis=0), design.draft_draws.mean(), design.base_draws.mean()]
    return outcome, Costs(float(means[0]), float(means[2]), float(means[1]), float(means[3]))


def conform_selector(
    function: Callable[[CandidateList], object],
    selector: str,
    *,
    draws: int = 20_000,
    level: float = 0.01,
    seed: int = 0,
    progress: Progress | None = None,
) -> Conformance:
    """Whether `function`, from a list of candidates to the place of one, selects as `selector` (a key of SELECTORS).

    Votes are judged by the answer of the place. Raises InputError as `conformance.play.play`.
    """
    lists, laws, rivals = selector_design(selector)
    rngs = [np.random.default_rng([seed, m]) for m in range(len(lists))]
    members = [CandidateList(*each, rng) for each, rng in zip(lists, rngs, strict=True)]

    def selected(m: int) -> int:
        place = whole_outcome(function(members[m]), f"list {m}", members[m].n)
        return int(members[m].answer[place]) if SELECTORS[selector].votes else place

    return play(selected, laws, [1e-14] * len(laws), rivals, draws=draws, level=level, progress=progress)


def assert_samples(
    sampler: Callable[[np.random.Generator], object],
    law: Law | ArrayLike,
    *,
    draws: int = 20_000,
    level: float = 1e-6,
    seed: int = 0,
) -> Conformance:
    """In a test: raise AssertionError where the draws of `sampler(rng)`, an outcome each, refute `law` at `level`.

    law: probabilities (K,), or a `Law` with its error. The same seed gives the same draws, so that hypothesis can call
    it. Raises InputError for what is no law, and outcomes out of range.
    """
    error = float(np.max(law.error)) if isinstance(law, Law) else 1e-12
    probabilities: Floats = np.exp(law.log_prob) if isinstance(law, Law) else np.asarray(law, dtype=np.float64)
    if probabilities.ndim != 1 or probabilities.size < 2:
        raise InputError(f"law of shape {probabilities.shape}: give probabilities (K,), K ≥ 2")
    rng = np.random.default_rng(seed)
    outcome = play(lambda _: sampler(rng), [probabilities], [error], draws=draws, level=level)
    if not outcome.conforms:
        _, cell = outcome.worst
        seen, expected = outcome.counts[0][cell], outcome.draws * probabilities[cell]
        raise AssertionError(
            f"the draws refute the law (p = {outcome.p:.1e}, level {level:g}) after {outcome.refuted_at}: outcome "
            f"{cell} came {seen} times of {outcome.draws}, expected {expected:.1f}; TV at least {outcome.tv_low:.3g}"
        )
    return outcome
