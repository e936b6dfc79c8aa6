"""Every method on language models as one entry of a table; `method_step` plays one step of any.

Names, meanings and costs are those of `gsi_theory.methods.METHODS`, whose exact laws the tests hold these to; `specs`
and the three with several drafters are entries of their own (gsi_theory.laws.drafters has the law of the latter). A
method is what its fields say, nothing more; a new one is a new entry.

    proposal   who draws: "draft" or "base" n candidates; "pooled" n from the draft and n_base from the base, in one
               selection; "drafters" n from the draft and its own number from each further drafter. "..._random": as
               many candidates, each from a source picked at random in those proportions (M20)
    weight     a key of `selection.WEIGHTS`: the log-weights, from reward r and log-ratio ℓ = log π_B - log p_mix, p_mix
               the mixture of who proposes (π_S where only the draft does, so ℓ is GSI's; 0 where only the base does)
    rule       softmax, race or max (M2)
    search     "all": every candidate is scored; "early_exit": in the order of their noise, until none that is left can
               win; "first_passage": drawn and scored one by one until one passes the gate
    gate       a key of `selection.GATES`, judged at the threshold u; what fails it is replaced by the `fallback`:
               "select" n_base base draws weighted β r under the same rule, "one" a single base draw that nobody judges
    n, n_base  numbers the method fixes itself
    switch     two methods: the one for every solution's first step, and the one for the steps after a step that passed
               the gate
"""

from __future__ import annotations

from dataclasses import dataclass

from gsi_theory import Scheme
from gsi_theory.errors import InputError, nearest

__all__ = ["METHODS", "Method", "named_method", "policies_used"]


@dataclass(frozen=True)
class Method:
    """One method; fields as in the module's text. `label` for people, `source` the paper."""

    name: str
    label: str
    proposal: str
    weight: str = "ratio"
    rule: str = "softmax"
    search: str = "all"
    gate: str | None = None
    fallback: str = "select"
    n: int | None = None
    n_base: int | None = None
    switch: tuple[str, str] | None = None
    source: str = "–"

    def scheme(self, beta: float, n: int, threshold: float | None, n_base: int | None = None) -> Scheme:
        """This method at (beta, n, threshold, n_base), as far as it reads them.

        Only the gate on the tilted reward may go without a threshold: GSI then keeps every draft winner. Raises
        InputError for the other gates, and for the values `Scheme` refuses.
        """
        used = None if self.gate is None else threshold
        if used is None and (self.switch is not None or self.gate not in (None, "tilted_reward")):
            raise InputError(
                f"method {self.name!r} needs a threshold: it compares the {_COMPARED[str(self.gate)]} with it"
            )
        # RSD's gates compare rewards and its fallback is one draw: no gate of `Scheme`, which has those of GSI.
        gate = "score" if self.gate == "score" else "tilted_reward"
        return Scheme(beta, self.n or n, used, self.rule, self.n_base or n_base, gate)


_COMPARED = {
    "tilted_reward": "winner's tilted reward",
    "score": "winning score/β (reward units)",
    "reward": "draft's reward",
    "sigmoid": "draft's reward, smoothed over 1/β,",
}

_GSI, _EXP = "GSI, arXiv 2506.04118", "ExpBoN, arXiv 2609.21899 (our reading)"
_SBON, _BON = "Verdun et al., arXiv 2505.03156", "Beirami et al., arXiv 2401.01879"
_RSD, _MIX = "Liao et al., arXiv 2501.19324", "balance heuristic (M20)"
# Only the abstract of this paper was at hand: reward-guided selection among draft candidates with both models'
# probabilities, and deferral to the large model on harder steps. The switch below is our definition of the latter: the
# base proposes a solution's first step; a step whose winner has tilted reward (for base steps: reward) ≥ u hands the
# next step to the draft, a step below u hands it to the base. No step is drawn twice.
_SPECS = "after SPECS, arXiv 2506.15733 (our reading)"

_TABLE = (
    Method("draft", "draft alone", "draft", "none", n=1),
    Method("base", "base alone", "base", "none", n=1),
    Method("soft_bon_draft", "soft best-of-n, draft", "draft", "reward", source=_SBON),
    Method("soft_bon_base", "soft best-of-n, base", "base", "reward", source=_SBON),
    Method("best_of_n_draft", "best-of-n, draft", "draft", "best", "max", source=_BON),
    Method("best_of_n_base", "best-of-n, base", "base", "best", "max", source=_BON),
    Method("gsi", "GSI", "draft", gate="tilted_reward", source=_GSI),
    Method("gsi_race", "GSI, race rule", "draft", rule="race", gate="tilted_reward", source=_GSI),
    Method("gsi_one_base", "GSI, one base draw", "draft", gate="tilted_reward", n_base=1, source=_GSI),
    Method("gsi_ungated", "GSI without gate", "draft", source=_GSI),
    Method("gsi_ungated_race", "GSI without gate, race rule", "draft", rule="race", source="Uniform Race"),
    Method("gsi_score_gate", "GSI, score gate", "draft", rule="race", gate="score", source="Uniform Race"),
    Method("first_passage", "first passage", "draft", rule="race", search="first_passage", gate="score", source=_EXP),
    Method("expgsi", "ExpGSI", "draft", "clipped", "race", source=_EXP),
    Method("expgsi_two_sided", "ExpGSI, two-sided clip", "draft", "clipped_both", "race", source=_EXP),
    Method("expgsi_early_exit", "ExpGSI, early exit", "draft", "clipped", "race", "early_exit", source=_EXP),
    Method("expgsi_score_gate", "ExpGSI, score gate, early exit", "draft", "clipped", "race", "early_exit", "score",
           source=_EXP),
    Method("pooled", "pooled draft and base", "pooled", source=_MIX),
    Method("pooled_race", "pooled, race rule", "pooled", rule="race", source=_MIX),
    Method("pooled_random", "pooled, random allocation", "pooled_random", source=_MIX),
    Method("drafters", "several drafters", "drafters", source=_MIX),
    Method("drafters_race", "several drafters, race rule", "drafters", rule="race", source=_MIX),
    Method("drafters_random", "several drafters, random allocation", "drafters_random", source=_MIX),
    Method("rsd", "RSD, step", "draft", "none", gate="reward", fallback="one", n=1, n_base=1, source=_RSD),
    Method("rsd_sigmoid", "RSD, sigmoid", "draft", "none", gate="sigmoid", fallback="one", n=1, n_base=1, source=_RSD),
    Method("specs", "switching between base and draft", "draft", gate="tilted_reward",
           switch=("soft_bon_base", "gsi_ungated"), source=_SPECS),
)  # fmt: skip

METHODS: dict[str, Method] = {method.name: method for method in _TABLE}


def named_method(name: str) -> Method:
    """The method called `name`; InputError naming those there are."""
    if name not in METHODS:
        raise InputError(f"method {name!r}{nearest(name, METHODS)}: use one of {', '.join(METHODS)}")
    return METHODS[name]


def policies_used(method: Method, drafters: int = 0) -> tuple[str, ...]:
    """Names of the policies whose prefixes a step may need: "draft", "base", "drafter1", ... (`drafters` further)."""
    if method.switch is not None:
        return ("draft", "base")
    drawing = {"base": (), "draft": ("draft",), "pooled": ("draft",), "drafters": ("draft",)}
    names = drawing[method.proposal.removesuffix("_random")]
    if method.proposal.startswith("drafters"):
        names += tuple(f"drafter{j}" for j in range(1, drafters + 1))
    needs_base = method.proposal == "base" or method.gate is not None or method.weight not in ("none", "reward", "best")
    return (*names, "base") if needs_base else names
