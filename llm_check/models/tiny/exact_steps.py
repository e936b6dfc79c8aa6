"""The exact law of the next step of real language models: the enumerated trie as an `Instance`, and its test.

`enumerate_position` lists every next step with both models' log-probabilities and the reward; leaves whose mass is
below `tolerance` in total under both models are left out and reported. `frequency_test` compares a sampler's
outcomes with a law by Pearson's χ², pooling cells whose expected count is below 5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gsi_theory import Instance, Scheme
from gsi_theory.arrays.logscale import normalize
from gsi_theory.divergence import chi2
from llm_check.models.collecting.collect import positions
from llm_check.models.decoding.positions import Position
from llm_check.models.tasks.arithmetic import make_problems
from llm_check.models.tiny.enumeration import MAX_LEAVES, enumerate_steps, joined, locate, score_trie
from llm_check.models.world import World, transformers_pair

__all__ = [
    "EnumeratedPosition",
    "FrequencyTest",
    "checked_positions",
    "enumerate_position",
    "frequency_test",
    "is_enumerable",
]

SMALLEST_EXPECTED = 5.0


@dataclass(frozen=True)
class EnumeratedPosition:
    """A position's next steps.

    position: where
    tokens: (K, T), padded
    instance: both models' laws and the reward on them
    missing_draft, missing_base: mass left out under either model
    overlap: 1 - TV of both models, over all leaves of the trie
    leaves: of the whole trie
    chi2_pair: χ²(π_B‖π_S) over all leaves of the trie, also those left out of the instance
    """

    position: Position
    tokens: NDArray[np.int32]
    instance: Instance
    missing_draft: float
    missing_base: float
    leaves: int
    chi2_pair: float
    overlap: float

    def within(self, scheme: Scheme) -> Scheme:
        """`scheme` with its threshold moved to the normalized laws of the instance, whose log-ratios are off the
        models' own by one number: so that the same steps pass."""
        if scheme.threshold is None or not scheme.beta:
            return scheme
        shift = np.log1p(-self.missing_draft) - np.log1p(-self.missing_base)
        return replace(scheme, threshold=scheme.threshold + float(shift) / scheme.beta)

    def locate(self, tokens: NDArray[np.integer]) -> NDArray[np.int64]:
        """Outcome index of each step (M, T); K for a step outside the instance."""
        at = locate(self.tokens, tokens)
        return np.where(at < 0, len(self.tokens), at)


def checked_positions(world: World, seed: int, count: int) -> list[Position]:
    """One position for each of `count` test problems of the embedded task, the step number going round 0..3: the same
    for every check, so that rewards of enumerated steps are computed once."""
    problems = make_problems(count, seed, "test")
    along = positions(problems, world.draft.tokenizer, (0, 1, 2, 3))
    return [place for i, place in enumerate(along) if i % 4 == (i // 4) % 4]


def _dropped(logp: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    """The least likely leaves, `tolerance` of mass in all; none at tolerance 0."""
    out = np.zeros(len(logp), dtype=bool)
    if tolerance == 0:
        return out
    order = np.argsort(logp, kind="stable")
    out[order[np.cumsum(np.exp(logp[order])) <= tolerance]] = True
    return out


def is_enumerable(world: World) -> bool:
    """Whether all next steps may be listed, whatever the models' laws: so few sequences of tokens there are."""
    return float(world.draft.vocabulary) ** world.rule.max_tokens <= MAX_LEAVES


def enumerate_position(world: World, position: Position, tolerance: float) -> EnumeratedPosition:
    """Every next step at a position but the least likely ones, `tolerance` of mass in all under both models; all leaves
    of a trie that the step cap closes at tolerance 0.

    Where not all can be listed, those that either model's own trie keeps within the tolerance. InputError where these
    are too many.
    """
    prefix = list(position.prefix)
    draft_engine, base_engine = transformers_pair(world)
    if is_enumerable(world):
        trie = enumerate_steps(draft_engine, prefix, world.rule)
    else:
        tries = [enumerate_steps(engine, prefix, world.rule, tolerance) for engine in (draft_engine, base_engine)]
        trie = joined(draft_engine, prefix, tries)
    logp_base = score_trie(base_engine, prefix, trie)
    keep = ~(_dropped(trie.logp, tolerance) & _dropped(logp_base, tolerance))
    tokens, draft, base = trie.tokens[keep], trie.logp[keep], logp_base[keep]
    steps = [row[row >= 0].tolist() for row in tokens]
    reward = world.reward_model.score([position] * len(steps), steps)
    return EnumeratedPosition(
        position=position,
        tokens=tokens,
        instance=Instance(normalize(draft), normalize(base), reward),
        missing_draft=max(0.0, 1.0 - float(np.exp(draft).sum())),
        missing_base=max(0.0, 1.0 - float(np.exp(base).sum())),
        leaves=len(trie.logp),
        chi2_pair=chi2(normalize(logp_base), normalize(trie.logp)),
        overlap=float(np.exp(np.minimum(logp_base, trie.logp)).sum()),
    )


@dataclass(frozen=True)
class FrequencyTest:
    """Pearson's χ² of counts against a law: statistic, degrees of freedom, p-value, cells after pooling, and the
    largest |z| of a single cell."""

    statistic: float
    dof: int
    p_value: float
    cells: int
    max_abs_z: float


def frequency_test(outcomes: NDArray[np.int64], probability: NDArray[np.float64]) -> FrequencyTest:
    """Test outcomes (M,) in 0..K (K: outside the law) against probabilities (K,).

    Cells of expected count below 5 are pooled into one together with everything outside the law.
    """
    draws = len(outcomes)
    if not draws:
        return FrequencyTest(0.0, 0, 1.0, 1, 0.0)
    counts = np.bincount(outcomes, minlength=probability.size + 1).astype(float)
    expected = draws * probability
    large = expected >= SMALLEST_EXPECTED
    observed = np.r_[counts[:-1][large], counts[:-1][~large].sum() + counts[-1]]
    wanted = np.r_[expected[large], max(draws - expected[large].sum(), 0.0)]
    if wanted[-1] < SMALLEST_EXPECTED and wanted.size > 1:
        # Too little is left for a cell of its own: it joins the smallest of the others.
        smallest = int(np.argmin(wanted[:-1]))
        observed[smallest] += observed[-1]
        wanted[smallest] += wanted[-1]
        observed, wanted = observed[:-1], wanted[:-1]
    dof = wanted.size - 1
    statistic = float(((observed - wanted) ** 2 / wanted).sum())
    spread = np.sqrt(wanted * np.maximum(1.0 - wanted / draws, 1e-300))
    z = np.abs(observed - wanted) / spread if dof else np.zeros(1)
    p_value = float(stats.chi2.sf(statistic, dof)) if dof else 1.0
    return FrequencyTest(statistic, dof, p_value, int(wanted.size), float(z.max()))
