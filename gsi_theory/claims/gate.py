"""Claims on the gate: its limit (M7), the reward at finite n (M8), the gate on the score (M9). See claims.py."""

from __future__ import annotations

from gsi_theory.claims.assumptions import (
    CONVERGENT,
    COVERED,
    FINITE_SCORE,
    GATED,
    GSI,
    HERE,
    HIGH_SCORE,
    RACE,
    SOFTMAX,
    SPLIT,
)
from gsi_theory.claims.claim import Claim, Outcome
from gsi_theory.claims.sides_gate import (
    gate_gains,
    gate_law_kl,
    gate_reward,
    gated_reward_pinsker,
    gated_reward_without_bias,
    score_gate_reject,
    score_gate_tv,
)
from gsi_theory.claims.sides_limits import gate_limit, gate_vanishes

__all__ = ["TABLE"]

HOLDS, REFUTED = Outcome.HOLDS, Outcome.REFUTED
_LIMIT = (COVERED, GATED, CONVERGENT)
_SCORED = (COVERED, FINITE_SCORE)
_TILT = "the natural reading of gated GSI as a sampler of the tilt"

TABLE = (
    Claim("M7-tv", "M7", r"\lim_n TV(G_n,\pi) = a(1-a)", HERE, _LIMIT, "=", HOLDS,
          lambda f: gate_limit(f, "tv"), first_hand=True),
    Claim("M7-kl-forward", "M7", r"\lim_n KL(\pi\|G_n) = -a\log(2-a)-(1-a)\log(1-a)", HERE, _LIMIT, "=", HOLDS,
          lambda f: gate_limit(f, "kl_forward"), first_hand=True),
    Claim("M7-kl-reverse", "M7", r"\lim_n KL(G_n\|\pi) = a(2-a)\log(2-a)+(1-a)^2\log(1-a)", HERE, _LIMIT, "=", HOLDS,
          lambda f: gate_limit(f, "kl_reverse"), first_hand=True),
    Claim("M7-reward", "M7", r"\lim_n E_{G_n}r - E_\pi r = Cov_\pi(1_A,r)", HERE, _LIMIT, "=", HOLDS,
          lambda f: gate_limit(f, "reward"), first_hand=True),
    Claim("M7-vanishes", "M7", r"\lim_n TV(G_n,\pi) = 0", _TILT, (*_LIMIT, SPLIT), "=", REFUTED,
          lambda f: gate_vanishes(f, "tv")),
    Claim("M7-vanishes-kl", "M7", r"\lim_n KL(\pi\|G_n) = 0", _TILT, (*_LIMIT, SPLIT), "=", REFUTED,
          lambda f: gate_vanishes(f, "kl_forward")),
    Claim("M7-vanishes-reward", "M7", r"\lim_n E_{G_n}r = E_\pi r", "the natural reading of gated GSI's reward bound",
          (*_LIMIT, SPLIT), "=", REFUTED, lambda f: gate_vanishes(f, "reward")),
    Claim("M7-gains", "M7", r"\lim_n E_{G_n}r \ge E_\pi r", "the natural reading of a threshold that filters drafts",
          (*_LIMIT, SPLIT), "<=", REFUTED, gate_gains),
    Claim("M8", "M8", r"|E_Gr-E_\pi r-Cov_\pi(1_A,r)| \le osc(r)\,[TV(Q,\pi)+\pi(A^c)\,TV(B,\pi)]", HERE, (GATED,),
          "<=", HOLDS, lambda f: gate_reward(f, "tv"), first_hand=True),
    Claim("M8-values", "M8", r"|E_Gr-E_\pi r-Cov_\pi(1_A,r)| \le osc((r-E_Br)1_A)\,TV(Q,\pi)"
          r"+\pi(A^c)\,osc(r)\,TV(B,\pi)", HERE, (GATED,), "<=", HOLDS, lambda f: gate_reward(f, "values"),
          first_hand=True),
    Claim("M8-rate", "M8", r"|E_Gr-E_\pi r-Cov_\pi(1_A,r)| \le osc((r-E_Br)1_A)\,E_\pi\tfrac{(w-1)_+}{n-1+w}"
          r"+\pi(A^c)\,osc(r)\,E_\pi\tfrac{(w_B-1)_+}{n_B-1+w_B}", HERE, (COVERED, GATED, SOFTMAX), "<=", HOLDS,
          lambda f: gate_reward(f, "rate"), first_hand=True),
    Claim("M8-unbiased", "M8", r"E_\pi r-E_Gr \le osc(r)\,[TV(Q,\pi)+\pi(A^c)\,TV(B,\pi)]",
          "the natural reading of gated GSI's reward bound", (GATED,), "<=", REFUTED, gated_reward_without_bias),
    Claim("M9-accepted", "M9", r"TV(P_n^{race}(\cdot\,|\,score\ge M),\pi) \le E_M", HERE, _SCORED, "<=", HOLDS,
          lambda f: score_gate_tv(f, "accepted"), first_hand=True,
          smooth=False),
    Claim("M9-exact", "M9", r"M\ge C\Rightarrow P_n^{race}(\cdot\,|\,score\ge M)=\pi", HERE,
          (*_SCORED, HIGH_SCORE), "=", HOLDS, lambda f: score_gate_tv(f, "exact"), first_hand=True,
          smooth=False),
    Claim("M9-reject", "M9", r"P(reject) = (1-A_M/M)^n", HERE, _SCORED, "=", HOLDS, score_gate_reject,
          first_hand=True,
          smooth=False),
    Claim("M9-whole", "M9", r"TV((1-\delta)P(\cdot\,|\,score\ge M)+\delta B,\pi) \le (1-\delta)E_M+\delta\,TV(B,\pi)",
          HERE, _SCORED, "<=", HOLDS, lambda f: score_gate_tv(f, "whole"), first_hand=True,
          smooth=False),
    Claim("M9-unbiased", "M9", r"P_n^{race}(\cdot\,|\,score\ge M)=\pi\ \text{for every}\ M",
          "the score gate read without its condition M ≥ C; " + RACE, _SCORED, "<=", REFUTED,
          lambda f: score_gate_tv(f, "unbiased"), smooth=False),
    Claim("M12-gated-kl", "M12", r"KL(\pi\|G) \le \log(1+\chi^2/n)+\log(1+CV^2/n_B)", GSI + ", read for the gated law",
          (COVERED, GATED, SOFTMAX), "<=", REFUTED, gate_law_kl),
    Claim("M12-gated-reward", "M12", r"E_\pi r-E_Gr \le osc(r)\,[\sqrt{\tfrac12\log(1+\chi^2/n)}"
          r"+\pi(A^c)\sqrt{\tfrac12\log(1+CV^2/n_B)}]", GSI + " with Pinsker, read for the gated law",
          (COVERED, GATED, SOFTMAX), "<=", REFUTED, gated_reward_pinsker),
)  # fmt: skip
