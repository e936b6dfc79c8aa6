"""Every method of draft-guided sampling as one record of a table: what it draws, how it selects, what it falls back to.

A method is what its fields say, nothing more; a new one is a new entry. Three interpreters play the record: the exact
law with its expected costs (`Method.law`, gsi_theory.laws.method_law), the Monte Carlo sampler
(sims.sampling.method_sampler) and the decoder on language models (llm_check.models.decoding.method_step). What an
interpreter cannot play it refuses by name, with the reason.

    proposal   who draws: "draft" or "base" n candidates; "pooled" n from the draft and n_base from the base, in one
               selection; "drafters" n from the draft and its own number from each further drafter. "..._random": as
               many candidates, each from a source picked at random in those proportions (M20)
    weight     the log-weights, from reward r and log-ratio ℓ = log π_B - log p_mix, p_mix the mixture of who proposes
               (π_S where only the draft does): "none" 0; "reward" β r; "best" r; "ratio" β r + ℓ; "clipped" β r +
               min(ℓ, log n); "clipped_both" ℓ clipped to ±log n
    rule       softmax, race or max (M2)
    search     "all": every candidate is scored; "early_exit": in the order of their noise, until none that is left can
               win; "first_passage": drawn and scored one by one until one passes the gate
    gate       what is compared with the threshold u, reward units: "tilted_reward" r̃ of the winner (M6; u None: no
               gate), "score" its score w/T with M = e^{βu} (M9; u None: M = n normalized weights); or how likely one
               draft is accepted (M21, M22): "reward" r ≥ u, "sigmoid" 1/(1 + e^{-β (r - u)}) (u None: E r under the
               base), "budget" the step of largest E r that accepts at least as often as GSI, "ratio" min(1, π_B/π_S)
    fallback   what replaces a rejected draft: "select" n_base base draws weighted β r under the same rule; "one" base
               draw that nobody judges; "residual" one draw from (π_B - π_S)_+
    n, n_base  numbers the method fixes itself; n = 1 with weight "none", n_base = 1 where the fallback is one draw
    numbers    how many candidates: "fixed" n; "poisson" Poisson(n), at least one (M24); "one_plus_poisson"
               1 + Poisson(n - 1) (M23)
    switch     two methods: the one for every solution's first step, and the one for the steps after a step that passed
               the gate; its law is that of one step (gsi_theory.steps.switching has a relative on whole trees)

Names are looked up by `named_method`, old keys (`ALIASES`) included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from numpy.typing import ArrayLike

from gsi_theory.errors import InputError, Named, require_name
from gsi_theory.instance import Instance, Scheme
from gsi_theory.laws.clipping import SIDES
from gsi_theory.laws.draws import Draws
from gsi_theory.laws.gate import gsi_law
from gsi_theory.laws.method_law import MethodLaw, default_clip, default_log_score, method_law, several_drafters
from gsi_theory.laws.rsd import Omega, StepAcceptance, best_step
from gsi_theory.rules.race import RACE
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.table import rule_named

__all__ = [
    "ALIASES",
    "GATES",
    "METHODS",
    "PROPOSALS",
    "WEIGHTS",
    "Method",
    "MethodLaw",
    "best_of_poisson",
    "default_clip",
    "default_log_score",
    "expgsi",
    "first_passage_gsi",
    "gsi",
    "named_method",
    "poisson_gsi",
    "pooled",
    "rsd",
    "rsd_budget",
    "rsd_sigmoid",
    "score_gate",
    "selected",
    "several_drafters",
    "speculative",
]


class Reads(NamedTuple):
    """What a weight or gate needs of a candidate: its reward, its log-ratio; its parameters in words."""

    reward: bool
    ratio: bool
    words: str = ""


class GateKind(NamedTuple):
    """`reads`; threshold: what Scheme.threshold is compared with (None: it is not used); single: it judges one draft
    that nothing selected; compares: in words, where decoding cannot do without a threshold."""

    reads: Reads
    threshold: str | None
    single: bool = False
    compares: str = ""


_CLIP, _MEAN = "clip = log n nats", "u None: E r under the base"
PROPOSALS = ("draft", "base", "pooled", "pooled_random", "drafters", "drafters_random")
WEIGHTS = {
    "none": Reads(False, False),
    "reward": Reads(True, False),
    "best": Reads(True, False),
    "ratio": Reads(True, True),
    "clipped": Reads(True, True, _CLIP),
    "clipped_both": Reads(True, True, _CLIP),
}
GATES = {
    "tilted_reward": GateKind(Reads(True, True, "u None: no gate"), "tilted_reward"),
    "score": GateKind(
        Reads(True, True, "M = e^{βu}; u None: M = n normalized weights"),
        "score",
        compares="winning score/β (reward units)",
    ),
    "reward": GateKind(Reads(True, False, _MEAN), "reward", True, "draft's reward"),
    "sigmoid": GateKind(Reads(True, False, f"slope β; {_MEAN}"), "reward", True, "draft's reward, smoothed over 1/β,"),
    "budget": GateKind(Reads(True, False, "accepts at least as often as GSI under the scheme"), "tilted_reward", True),
    "ratio": GateKind(Reads(False, True), None, True),
}
SEARCHES = {"all": "", "early_exit": "C' = e^(β max r + clip)", "first_passage": ""}
FALLBACKS = ("select", "one", "residual")
NUMBERS = {"fixed": "", "poisson": "Poisson(n) draws, at least one", "one_plus_poisson": "1 + Poisson(n - 1) draws"}
ALIASES = {"gsi_race_score": "gsi_score_gate"}


@dataclass(frozen=True)
class Method:
    """id; label for people; formula (M number); source; the other fields as in the module's text.

    look: color, marker and line in figures, as figures.style reads them (empty: some that are free). Raises InputError
    for names that no table knows, and for parts that do not go together.
    """

    id: str
    label: str
    formula: str
    source: str
    proposal: str
    weight: str = "ratio"
    rule: str | Rule = "softmax"
    search: str = "all"
    gate: str | None = None
    fallback: str = "select"
    n: int | None = None
    n_base: int | None = None
    numbers: str = "fixed"
    switch: tuple[str, str] | None = None
    look: str = ""

    def __post_init__(self) -> None:
        require_name(self.proposal, "proposal", PROPOSALS)
        require_name(self.weight, "weight", WEIGHTS)
        require_name(self.search, "search", SEARCHES)
        require_name(self.fallback, "fallback", FALLBACKS)
        require_name(self.numbers, "numbers", NUMBERS)
        if self.gate is not None:
            require_name(self.gate, "gate", GATES)
        Scheme(0.0, 1 if self.n is None else self.n, rule=self.rule, n_base=self.n_base)
        # of draws that nothing tells apart, one is enough
        object.__setattr__(self, "n", 1 if self.weight == "none" else self.n)
        object.__setattr__(self, "n_base", 1 if self.fallback != "select" else self.n_base)
        if clash := _clash(self):
            raise InputError(f"method {self.id!r}: {clash}")

    @property
    def name(self) -> str:
        """The id."""
        return self.id

    @property
    def mixed(self) -> bool:
        """Whether several policies propose."""
        return self.proposal not in ("draft", "base")

    @property
    def single(self) -> bool:
        """Whether a gate judges one draft that nothing selected."""
        return self.gate is not None and GATES[self.gate].single

    def reads(self, scheme: Scheme) -> Reads:
        """What it needs to know of a candidate under `scheme`, for weight or gate."""
        weight = WEIGHTS[self.weight]
        if self.gate is None or not self.gated(scheme):
            return weight
        gate = GATES[self.gate].reads
        return Reads(weight.reward or gate.reward, weight.ratio or gate.ratio)

    @property
    def pair_alone(self) -> bool:
        """Whether draft, base and one step are all it needs: no further drafters, no step before."""
        return self.switch is None and not self.proposal.startswith("drafters")

    @property
    def limited_by(self) -> str | None:
        """'draft' or 'base' if the outcome is always one of n iid draws from it, so that (M19) limits it; else None."""
        drawn = not self.mixed and self.gate is None and self.numbers == "fixed" and self.weight != "none"
        return self.proposal if drawn and self.switch is None else None

    def rejects(self, scheme: Scheme) -> bool:
        """Whether a step under `scheme` may be rejected; of a switch nothing is."""
        return self.switch is None and self.gated(scheme)

    def gated(self, scheme: Scheme) -> bool:
        """Whether something is compared with the gate under `scheme`."""
        return self.gate is not None and not (self.gate == "tilted_reward" and scheme.threshold is None)

    @property
    def threshold(self) -> str | None:
        """What Scheme.threshold is compared with: "tilted_reward", "reward", "score"; None: it is not used."""
        return GATES[self.gate].threshold if self.gate else None

    @property
    def parameters(self) -> str:
        """The defaults of its parameters in words."""
        words = [WEIGHTS[self.weight].words, SEARCHES[self.search], NUMBERS[self.numbers]]
        words += [GATES[self.gate].reads.words] if self.gate else []
        words += [f"{key} = {value}" for key, value in (("n", self.n), ("n_base", self.n_base)) if value]
        return "; ".join(filter(None, words)) or "none"

    def scheme(self, beta: float, n: int, threshold: float | None, n_base: int | None = None) -> Scheme:
        """This method at (beta, n, threshold, n_base), as far as decoding reads them.

        Only the gate on the tilted reward may go without a threshold: GSI then keeps every draft winner. Raises
        InputError for the other gates, and for the values `Scheme` refuses.
        """
        used = None if self.threshold is None else threshold
        compares = "winner's tilted reward" if self.switch else GATES[self.gate].compares if self.gate else ""
        if used is None and compares:
            raise InputError(f"method {self.id!r} needs a threshold: it compares the {compares} with it")
        return self.applied(Scheme(beta, self.n or n, used, n_base=self.n_base or n_base))

    def applied(self, scheme: Scheme) -> Scheme:
        """`scheme` with the rule, the gate and the numbers that the method fixes."""
        # Gates on one draft are no gates of `Scheme`, which has those of GSI.
        gate = "score" if self.gate == "score" else "tilted_reward"
        n, n_base = self.n or scheme.n, self.n_base or scheme.base_draws
        return Scheme(scheme.beta, n, scheme.threshold, self.rule, n_base, gate, scheme.target)

    def draws(self, n: int) -> int | Draws:
        """The number of candidates at n."""
        random = {"poisson": Draws(0, n), "one_plus_poisson": Draws(1, n - 1)}
        return n if self.numbers == "fixed" else random[self.numbers]

    def step(self, scheme: Scheme, passed: bool) -> tuple[Method, Scheme]:
        """What plays one step: the method itself, or of a switch the part after a step that passed the gate or not."""
        if self.switch is None:
            return self, scheme
        n = scheme.n if passed else scheme.base_draws
        return named_method(self.switch[passed]), Scheme(scheme.beta, n, target=scheme.target)

    def law(
        self,
        instance: Instance,
        scheme: Scheme,
        further: tuple[ArrayLike, Sequence[int]] | None = None,
        passed: bool = False,
    ) -> MethodLaw:
        """The exact law of one step and its expected costs.

        further: log-probabilities (J, K) of the further drafters and their numbers of draws (J,); `passed`: whether the
        step before passed the gate, for methods that switch. Raises InputError where drafters are needed and missing.
        """
        part, used = self.step(scheme, passed)
        return method_law(part, instance, used, further)


def _clash(method: Method) -> str | None:
    """Why parts of the record, each of them known, do not go together; None where they do."""
    gate, random = method.gate, method.numbers != "fixed"
    if method.mixed and (method.weight != "ratio" or gate or random):
        return f"proposal {method.proposal!r} needs weight 'ratio', fixed numbers, and no gate"
    if method.proposal == "base" and (gate or WEIGHTS[method.weight].ratio):
        return "gates and ratios are for drafts: give proposal 'draft', or a weight without ratio and no gate"
    if gate and method.single and (method.weight != "none" or random):
        return f"gate {gate!r} judges one draft: give weight 'none' and fixed numbers"
    if gate and not method.single and (method.weight == "none" or method.fallback != "select"):
        return f"gate {gate!r} judges the winner of a selection: give a weight, and fallback 'select'"
    if method.fallback == "residual" and gate != "ratio":
        return "fallback 'residual' completes gate 'ratio': give that, or another fallback"
    raced = rule_named(method.rule) is RACE and method.proposal == "draft" and not random
    if (gate == "score" or method.search != "all") and not raced:
        return "searches and the score gate need rule 'race' and a fixed number of drafts"
    if method.search != "all" and gate not in (None, "score"):
        return f"search {method.search!r} with gate {gate!r}: give gate 'score', or none"
    if method.search == "first_passage" and gate is None:
        return "search 'first_passage' ends at a gate: give gate 'score'"
    if method.search == "early_exit" and not method.weight.startswith("clipped"):
        return "search 'early_exit' needs weights with a bound: give a clipped weight"
    return None


_GSI, _EXP = "GSI, arXiv 2506.04118", "ExpBoN, arXiv 2609.21899 (our reading)"
_SBON, _BON = "Verdun et al., arXiv 2505.03156", "Beirami et al., arXiv 2401.01879"
_RSD, _MIX, _RACE = "Liao et al., arXiv 2501.19324", "balance heuristic", "Uniform Race"
_BOP, _SPEC = "arXiv 2506.19248", "Leviathan et al. 2023, arXiv 2211.17192"
_TILTED, _EARLY = "tilted_reward", "early_exit"
# Only the abstract of this paper was at hand: reward-guided selection among draft candidates with both models'
# probabilities, and deferral to the large model on harder steps. The switch below is our definition of the latter: the
# base proposes a solution's first step; a step whose winner has tilted reward (for base steps: reward) ≥ u hands the
# next step to the draft, a step below u hands it to the base. No step is drawn twice.
_SPECS = "after SPECS, arXiv 2506.15733 (our reading)"

_TABLE = (
    Method("draft", "draft alone", "M21", "–", "draft", "none", look="#7f7f7f v :"),
    Method("base", "base alone", "M22", "–", "base", "none", look="#000000 s :"),
    Method("soft_bon_draft", "soft best-of-n, draft", "M3", _SBON, "draft", "reward", look="#56b4e9 < ="),
    Method("soft_bon_base", "soft best-of-n, base", "M3, M13", _SBON, "base", "reward", look="#009e73 D ="),
    Method("best_of_n_draft", "best-of-n, draft", "M5", _BON, "draft", "best", "max", look="#cc79a7 P -:"),
    Method("best_of_n_base", "best-of-n, base", "M5", _BON, "base", "best", "max", look="#cc79a7 p -:"),
    Method(
        "best_of_poisson",
        "best-of-Poisson, base",
        "M23",
        _BOP,
        "base",
        "best",
        "max",
        numbers="one_plus_poisson",
        look="#7b3294 p ..",
    ),
    Method("gsi_ungated", "GSI without gate", "M3", _GSI, "draft", look="#882255 > --"),
    Method("gsi_ungated_race", "GSI without gate, race rule", "M4", _RACE, "draft", rule="race"),
    Method("gsi_poisson", "GSI without gate, Poisson n", "M24", _GSI, "draft", numbers="poisson"),
    Method("gsi", "GSI", "M6", _GSI, "draft", gate=_TILTED, look="#0072b2 o -"),
    Method("gsi_race", "GSI, race rule", "M4, M6", _GSI, "draft", rule="race", gate=_TILTED, look="#d55e00 ^ -"),
    Method("gsi_one_base", "GSI, one base draw", "M6", _GSI, "draft", gate=_TILTED, n_base=1),
    Method("gsi_score_gate", "GSI, score gate", "M9", _RACE, "draft", rule="race", gate="score", look="#e69f00 X -."),
    Method("first_passage", "first passage", "M9", _EXP, "draft", rule="race", search="first_passage", gate="score"),
    Method("expgsi", "ExpGSI", "M4", _EXP, "draft", "clipped", "race"),
    Method("expgsi_two_sided", "ExpGSI, two-sided clip", "M4", _EXP, "draft", "clipped_both", "race"),
    Method("expgsi_early_exit", "ExpGSI, early exit", "M4", _EXP, "draft", "clipped", "race", _EARLY),
    Method(
        "expgsi_score_gate", "ExpGSI, score gate, early exit", "M9", _EXP, "draft", "clipped", "race", _EARLY, "score"
    ),
    Method("pooled", "pooled draft and base", "M20", _MIX, "pooled"),
    Method("pooled_race", "pooled, race rule", "M20", _MIX, "pooled", rule="race"),
    Method("pooled_random", "pooled, random allocation", "M20", _MIX, "pooled_random"),
    Method("rsd", "RSD, step", "M21", _RSD, "draft", "none", gate="reward", fallback="one", look="#999933 p .."),
    Method("rsd_sigmoid", "RSD, sigmoid", "M21", _RSD, "draft", "none", gate="sigmoid", fallback="one"),
    Method("rsd_budget", "RSD, best step", "M21", _RSD, "draft", "none", gate="budget", fallback="one"),
    Method("speculative", "speculative sampling", "M22", _SPEC, "draft", "none", gate="ratio", fallback="residual"),
    Method("drafters", "several drafters", "M20", _MIX, "drafters"),
    Method("drafters_race", "several drafters, race rule", "M20", _MIX, "drafters", rule="race"),
    Method("drafters_random", "several drafters, random allocation", "M20", _MIX, "drafters_random"),
    Method(
        "specs",
        "switching between base and draft",
        "M6",
        _SPECS,
        "draft",
        gate=_TILTED,
        switch=("soft_bon_base", "gsi_ungated"),
        look="#aa4499 d -:",
    ),
    Method(
        "gsi_race_one_base",
        "GSI, race rule, one base draw",
        "M4, M6",
        _GSI,
        "draft",
        rule="race",
        gate=_TILTED,
        n_base=1,
    ),
)

METHODS: dict[str, Method] = Named("method", {method.id: method for method in _TABLE})


def named_method(name: str) -> Method:
    """The method called `name`, or by an old key (`ALIASES`); UnknownName with the nearest names."""
    return METHODS[ALIASES.get(name, name)]


first_passage_gsi = METHODS["first_passage"].law
rsd_sigmoid = METHODS["rsd_sigmoid"].law
score_gate = METHODS["gsi_score_gate"].law
speculative = METHODS["speculative"].law


def gsi(instance: Instance, scheme: Scheme) -> MethodLaw:
    """GSI as the scheme says (M6; M9 with gate "score"); without a threshold the draft winner is always kept."""
    gate = "tilted_reward" if scheme.threshold is None else scheme.gate
    return replace(METHODS["gsi"], rule=scheme.rule, gate=gate).law(instance, scheme)


def selected(
    instance: Instance,
    scheme: Scheme,
    proposal: str,
    weight: str,
    rule: str | Rule | None = None,
    draws: Draws | None = None,
) -> MethodLaw:
    """One selection among n (or `draws`) candidates from the "draft" or "base" (M3-M5).

    weight "reward": β r (r itself for rule max); "tilted": β r̃, that is β r + ℓ, for draft candidates.
    """
    rule = scheme.rule if rule is None else rule
    require_name(weight, "weight", ("reward", "tilted"))
    kind = "ratio" if weight == "tilted" else "best" if rule_named(rule).order_only else "reward"
    record = replace(METHODS["gsi_ungated"], proposal=proposal, weight=kind, rule=rule)
    return method_law(record, instance, scheme, draws=draws)


def poisson_gsi(instance: Instance, scheme: Scheme, mean: float | None = None) -> MethodLaw:
    """GSI without a gate on a Poisson(mean) number of drafts, given at least one, softmax rule (M24); mean = n."""
    draws = None if mean is None else Draws(fixed=0, poisson=mean)
    return method_law(METHODS["gsi_poisson"], instance, scheme, draws=draws)


def best_of_poisson(instance: Instance, scheme: Scheme, mean: float | None = None) -> MethodLaw:
    """Best of 1 + Poisson(mean) base draws (M23); mean = n - 1, so that n are drawn in expectation."""
    draws = None if mean is None else Draws(fixed=1, poisson=mean)
    return method_law(METHODS["best_of_poisson"], instance, scheme, draws=draws)


def pooled(instance: Instance, scheme: Scheme, rule: str = "softmax", allocation: str = "fixed") -> MethodLaw:
    """Pooled hybrid without fallback: n draft and n_B base candidates in one selection, weights π/p_mix (M20)."""
    require_name(allocation, "allocation", ("fixed", "random"))
    proposal = "pooled" if allocation == "fixed" else "pooled_random"
    return replace(METHODS["pooled"], proposal=proposal, rule=rule).law(instance, scheme)


def rsd(instance: Instance, scheme: Scheme, omega: Omega | StepAcceptance | None = None) -> MethodLaw:
    """Reward-guided speculative decoding with acceptance ω (M21); ω = step at u, without a threshold at E_{π_B} r."""
    return method_law(METHODS["rsd"], instance, scheme, omega=omega)


def rsd_budget(instance: Instance, scheme: Scheme, budget: float | None = None, bound: str = "at_least") -> MethodLaw:
    """RSD with the ω of largest E r under an acceptance budget (M21); default: it accepts at least as often as GSI."""
    if budget is None and bound == "at_least":
        return METHODS["rsd_budget"].law(instance, scheme)
    omega = best_step(instance, gsi_law(instance, scheme).p_accept if budget is None else budget, bound)
    return rsd(instance, scheme, omega)


def expgsi(
    instance: Instance,
    scheme: Scheme,
    clip: float | None = None,
    sides: str = "one",
    gated: bool = False,
    early_exit: bool = False,
) -> MethodLaw:
    """Race rule on drafts weighted β r + clipped ℓ, our reading of ExpGSI; clip = log n nats (`default_clip`).

    gated: the score gate (M9) with the race on the base as fallback. early_exit: lossless, with the bound C' =
    e^{β max r + clip}; it changes what is scored, not the law.
    """
    require_name(sides, "sides", SIDES)
    weight, search = "clipped" if sides == "one" else "clipped_both", "early_exit" if early_exit else "all"
    record = replace(METHODS["expgsi"], weight=weight, search=search, gate="score" if gated else None)
    return method_law(record, instance, scheme, clip=clip)
