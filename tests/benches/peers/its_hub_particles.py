"""its_hub's particle filtering and particle Gibbs, cases of `its_hub_peer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.benches.peers.particle_program import Filter, filter_law
from tests.benches.peers.peer_record import Case, point

__all__ = ["PARTICLE_CASES"]

_LEAVES = ("00", "01", "10", "11")
_SCORES = {"0": 0.3, "1": 0.6, "00": 0.2, "01": 0.5, "10": 0.7, "11": 0.4}
_TWO = Filter([0.6, 0.4], [[0.7, 0.3], [0.5, 0.5]], _SCORES, n=2)
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


PARTICLE_CASES = (
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
        where="signature of ParticleFiltering, set to 'systematic'",
        law=filter_law(replace(_EVEN, resampling="systematic"), _LEAVES),
        rivals=dict(
            multinomial=("multinomial resampling", filter_law(_EVEN, _LEAVES)),
            never_resampled=("no resampling", filter_law(replace(_EVEN, resampling="none"), _LEAVES)),
        ),
        remark="`ParticleFiltering.__init__` takes `resampling_method` and does not hand it to "
        "`ParticleGibbs.__init__`, so that it has no effect; `ParticleGibbs(…, resampling_method='systematic')` has: "
        "the next row.",
        draws=8000,
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
