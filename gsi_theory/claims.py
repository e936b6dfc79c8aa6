"""Published guarantees as data: the table of claims.

To add one, write its side function (see sides.py) and append an entry to `_TABLE`; an assumption is a predicate on
`Facts` with one boolean a row. Premises of the form "n ≥ N(ε) implies D ≤ ε" are judged at the smallest ε that the
given n allows, which is equivalent because N decreases in ε.
"""

from __future__ import annotations

from typing import Any

from gsi_theory.claim import OUTCOMES, Assumption, Claim, Judgement, Outcome, Verdict
from gsi_theory.facts import Facts
from gsi_theory.sides_limits import gate_limit, gate_vanishes, rate
from gsi_theory.sides_race import dominance, race_tail, race_tv, rule_limit
from gsi_theory.sides_softmax import kl_chi2, kl_mean, pointwise, soft_bon, theorem_one

__all__ = ["CLAIMS", "OUTCOMES", "Assumption", "Claim", "Judgement", "Outcome", "Verdict"]


def _positive_base(f: Facts) -> Any:
    return ~f.xp.any(f.covered & ~f.xp.isfinite(f.log_base), axis=-1)


def _splits(f: Facts) -> Any:
    some = f.pi > 0
    return f.xp.any(some & f.accepted, axis=-1) & f.xp.any(some & ~f.accepted, axis=-1)


def _always(f: Facts, value: bool) -> Any:
    """One answer for every row."""
    return f.xp.isfinite(f.beta) & value


COVERED = Assumption("that the draft covers the base", lambda f: ~f.uncovered)
UNSIGNED = Assumption("rewards r ≥ 0", lambda f: f.xp.min(f.reward, axis=-1) >= 0)
GATED = Assumption("a threshold on the tilted reward", lambda f: f.has_threshold & (f.gate != "score"))
SPLIT = Assumption("that the gate splits the tilted policy, 0 < π(A) < 1", _splits)
POSITIVE = Assumption("w > 0 on the draft's support", _positive_base)
VARYING = Assumption("weights that are not constant", lambda f: f.varies)
SOFTMAX = Assumption("rule softmax", lambda f: _always(f, f.rule == "softmax"))
CONVERGENT = Assumption("rule softmax or race", lambda f: _always(f, f.rule != "max"))

GSI = "Guided Speculative Inference, arXiv 2506.04118, Theorem 1"
RACE = "Uniform Race; ExpBoN, arXiv 2609.21899"
HERE = "proved in THEORY.md"
HOLDS, REFUTED = Outcome.HOLDS, Outcome.REFUTED

_TABLE = (
    Claim("M7-tv", "M7", r"\lim_n TV(G_n,\pi) = a(1-a)", HERE, (COVERED, GATED, CONVERGENT), "=", HOLDS,
          lambda f: gate_limit(f, "tv")),
    Claim("M7-kl-forward", "M7", r"\lim_n KL(\pi\|G_n) = -a\log(2-a)-(1-a)\log(1-a)", HERE,
          (COVERED, GATED, CONVERGENT), "=", HOLDS, lambda f: gate_limit(f, "kl_forward")),
    Claim("M7-kl-reverse", "M7", r"\lim_n KL(G_n\|\pi) = a(2-a)\log(2-a)+(1-a)^2\log(1-a)", HERE,
          (COVERED, GATED, CONVERGENT), "=", HOLDS, lambda f: gate_limit(f, "kl_reverse")),
    Claim("M7-reward", "M7", r"\lim_n E_{G_n}r - E_\pi r = Cov_\pi(1_A,r)", HERE, (COVERED, GATED, CONVERGENT), "=",
          HOLDS, lambda f: gate_limit(f, "reward")),
    Claim("M7-vanishes", "M7", r"\lim_n TV(G_n,\pi) = 0", "the natural reading of gated GSI as a sampler of the tilt",
          (COVERED, GATED, CONVERGENT, SPLIT), "=", REFUTED, gate_vanishes),
    Claim("M10", "M10", r"P_n(y)/\pi(y) \ge n/(n-1+w(y))", HERE, (COVERED,), "<=", HOLDS, pointwise,
          logs=True),
    Claim("M11-mean", "M11", r"KL(\pi\|P_n) \le E_\pi\log(1+(w-1)/n)", HERE, (COVERED,), "<=", HOLDS, kl_mean),
    Claim("M11-chi2", "M11", r"KL(\pi\|P_n) \le \log(1+\chi^2(\pi\|\mu)/n)", HERE, (COVERED,), "<=", HOLDS, kl_chi2),
    Claim("M12a", "M12", r"n\ge(\chi^2(\pi_B\|\pi_S)+1)\frac{e^{2\beta\|r\|_\infty}-1}{e^\varepsilon-1}"
          r"\Rightarrow KL(\pi\|Q)\le\varepsilon", GSI + ", reading (a), as printed (secondary transcription)",
          (COVERED,), "<=", REFUTED, lambda f: theorem_one(f, "a")),
    Claim("M12b", "M12", r"n\ge\frac{(\chi^2(\pi_B\|\pi_S)+1)e^{2\beta\|r\|_\infty}-1}{e^\varepsilon-1}, r\ge 0"
          r"\Rightarrow KL(\pi\|Q)\le\varepsilon", GSI + ", reading (b)", (COVERED, UNSIGNED), "<=", HOLDS,
          lambda f: theorem_one(f, "b")),
    Claim("M12c", "M12", r"n\ge\frac{(\chi^2(\pi_B\|\pi_S)+1)e^{2\beta\|r\|_\infty}-1}{e^\varepsilon-1}"
          r"\Rightarrow KL(\pi\|Q)\le\varepsilon", GSI + ", reading (b) with signed rewards", (COVERED,), "<=", REFUTED,
          lambda f: theorem_one(f, "b")),
    Claim("M12-osc", "M12", r"n\ge\frac{(\chi^2(\pi_B\|\pi_S)+1)e^{2\beta\,osc(r)}-1}{e^\varepsilon-1}"
          r"\Rightarrow KL(\pi\|Q)\le\varepsilon", HERE, (COVERED,), "<=", HOLDS, lambda f: theorem_one(f, "osc")),
    Claim("M13-cv", "M13", r"KL(\pi\|B_n) \le \log(1+CV^2/n)", "Verdun et al., arXiv 2505.03156", (SOFTMAX,), "<=",
          HOLDS,
          lambda f: soft_bon(f, "cv")),
    Claim("M13-sinh", "M13", r"KL(\pi\|B_n) \le \log(1+\sinh^2(\beta\,osc(r)/2)/n)", HERE, (SOFTMAX,), "<=", HOLDS,
          lambda f: soft_bon(f, "sinh")),
    Claim("M17-tv", "M17", r"TV(P_n^{race},\pi) \le \min\{1, 2(1+\chi^2)/(en), (1-1/C)^n\}", RACE, (COVERED,), "<=",
          HOLDS, race_tv),
    Claim("M17-tail", "M17", r"TV(P_n^{race},\pi) \le \inf_M E_M+(1-A_M/M)^n", RACE, (COVERED,), "<=", HOLDS,
          race_tail),
    Claim("M17-dominance-tv", "M17", r"TV(P_n^{race},\pi) \le TV(P_n^{softmax},\pi)", RACE, (COVERED, POSITIVE), "<=",
          HOLDS, lambda f: dominance(f, "tv")),
    Claim("M17-dominance-kl-forward", "M17", r"KL(\pi\|P_n^{race}) \le KL(\pi\|P_n^{softmax})", RACE,
          (COVERED, POSITIVE), "<=", HOLDS, lambda f: dominance(f, "kl_forward")),
    Claim("M17-dominance-kl-reverse", "M17", r"KL(P_n^{race}\|\pi) \le KL(P_n^{softmax}\|\pi)", RACE,
          (COVERED, POSITIVE), "<=", HOLDS, lambda f: dominance(f, "kl_reverse")),
    Claim("M18-kl", "M18", r"\lim_n n^2 KL(\pi\|P_n) = \tfrac12 Var_\pi(w)", HERE, (COVERED, VARYING), "=", HOLDS,
          lambda f: rate(f, "kl")),
    Claim("M18-tv", "M18", r"\lim_n n\,TV(P_n,\pi) = \tfrac12 E_\pi|w-1-\chi^2|", HERE, (COVERED, VARYING), "=", HOLDS,
          lambda f: rate(f, "tv")),
    Claim("M18-reward", "M18", r"\lim_n n(E_\pi r - E_{P_n}r) = Cov_\pi(w,r)", HERE, (COVERED, VARYING), "=", HOLDS,
          lambda f: rate(f, "reward")),
    Claim("M19", "M19", r"\max_A\,\pi(A)-1+(1-\mu(A))^n \le TV(P_n,\pi)\ \text{for every rule}", HERE, (), "<=", HOLDS,
          rule_limit),
)  # fmt: skip

CLAIMS: dict[str, Claim] = {claim.id: claim for claim in _TABLE}
