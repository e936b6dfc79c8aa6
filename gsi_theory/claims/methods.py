"""Claims on other methods: several drafters (M20), RSD (M21), speculative sampling (M22), tournaments (M25), and steps:
Transfer Q* (M26), the chain rule (M28), the stepwise tilt (M29). See claims.py."""

from __future__ import annotations

from gsi_theory.claims.assumptions import (
    COVERED,
    HERE,
    HIGH_STEP,
    POOLABLE,
    RSD,
    SMALL_LEAGUE,
    TOURNAMENT,
    TRANSFER,
    UNSIGNED,
    WHOLE,
)
from gsi_theory.claims.claim import Claim, Outcome
from gsi_theory.claims.sides_drafters import fixed_allocation, mixture_chi2, random_allocation
from gsi_theory.claims.sides_rejection import (
    rsd_best_step,
    rsd_gain,
    rsd_reward,
    rsd_tilts,
    speculative_accept,
    speculative_law,
)
from gsi_theory.claims.sides_stepwise import (
    chain_kl,
    chain_tv,
    stepwise_gap,
    stepwise_is_sequence,
    stepwise_oscillation,
    transfer_ratio,
    transfer_reward,
    value_increments,
)
from gsi_theory.claims.sides_tournament import knockout, league

__all__ = ["TABLE"]

HOLDS, REFUTED = Outcome.HOLDS, Outcome.REFUTED
_LEVIATHAN = "Leviathan et al. 2023, arXiv 2211.17192"
_FIXED = (WHOLE, POOLABLE)

TABLE = (
    Claim("M20-fixed", "M20", r"KL(\pi\|P) \le \log(1+(1+\chi^2(\pi\|p_{mix})-\min_jE_{p_j}w)/N)", HERE, _FIXED, "<=",
          HOLDS, lambda f: fixed_allocation(f, "least"), first_hand=True, smooth=False),
    Claim("M20-fixed-chi2", "M20", r"KL(\pi\|P) \le \log(1+\chi^2(\pi\|p_{mix})/N)\ \text{(fixed allocation)}", HERE,
          _FIXED, "<=", HOLDS, lambda f: fixed_allocation(f, "one"), first_hand=True, smooth=False),
    Claim("M20-fixed-squares", "M20",
          r"KL(\pi\|P) \le \log(1+(1+\chi^2(\pi\|p_{mix})-\sum_j\tfrac{n_j}N(E_{p_j}w)^2)/N)", HERE, _FIXED, "<=",
          HOLDS, lambda f: fixed_allocation(f, "squares"), first_hand=True, smooth=False),
    Claim("M20-random", "M20", r"KL(\pi\|P) \le \log(1+\chi^2(\pi\|p_{mix})/N)\ \text{(random allocation)}", HERE, (),
          "<=", HOLDS, random_allocation, first_hand=True),
    Claim("M20-chi2", "M20", r"1+\chi^2(\pi\|p_{mix}) \le \min_j\tfrac{N}{n_j}(1+\chi^2(\pi\|p_j))", HERE, (), "<=",
          HOLDS, mixture_chi2, logs=True, first_hand=True),
    Claim("M21-reward", "M21", r"E\,r = E_{\pi_B}r+E_{\pi_S}[\omega(r-E_{\pi_B}r)]", RSD, (), "=", HOLDS, rsd_reward),
    Claim("M21-step", "M21", r"E_{\pi_S}\omega=b\Rightarrow E_\omega r \le E_{step(b)}r", RSD, (), "<=", HOLDS,
          rsd_best_step),
    Claim("M21-gain", "M21", r"\omega=1\{r\ge t\},\,t\ge E_{\pi_B}r\Rightarrow E\,r \ge E_{\pi_B}r", HERE, (HIGH_STEP,),
          "<=", HOLDS, rsd_gain, first_hand=True),
    Claim("M21-gain-always", "M21", r"\omega=1\{r\ge t\}\Rightarrow E\,r \ge E_{\pi_B}r",
          RSD + ", read for every threshold", (), "<=", REFUTED, rsd_gain),
    Claim("M21-tilts", "M21", r"\lim_n TV(RSD,\pi) = 0", RSD + ", read as a sampler of the tilt", (), "=", REFUTED,
          rsd_tilts),
    Claim("M22-law", "M22", r"\text{speculative sampling}=\pi_B", _LEVIATHAN, (), "=", HOLDS, speculative_law),
    Claim("M22-accept", "M22", r"P(accept) = 1-TV(\pi_B,\pi_S)", _LEVIATHAN, (), "=", HOLDS, speculative_accept),
    Claim("M25-knockout", "M25", r"P(fail) \le (1-p)^N+\lceil\log_2N\rceil e^{-2K(q-1/2)^2}", TOURNAMENT, (WHOLE,),
          "<=", HOLDS, knockout, smooth=False),
    Claim("M25-league", "M25", r"P(fail) \le (1-p)^N+2Ne^{-K\Delta^2/8}+2Ne^{-(N-1)\Delta^2/8}",
          TOURNAMENT + ", re-derived", (WHOLE, SMALL_LEAGUE), "<=", HOLDS, league, smooth=False),
    Claim("M26-ratio", "M26", r"\log(alg/\pi_B) \le (\beta+\alpha T)R_{\max}", TRANSFER, (UNSIGNED,), "<=", HOLDS,
          lambda f: transfer_ratio(f, 2)),
    Claim("M26-sharp", "M26", r"\log(alg/\pi_B) \le (\beta+\alpha)R_{\max}\ \text{for every}\ T", HERE, (UNSIGNED,),
          "<=", HOLDS, lambda f: transfer_ratio(f, 1), first_hand=True),
    Claim("M26-reward", "M26",
          r"\beta(E_{\rho^*}R-E_{alg}R) \le KL(\rho^*\|\pi_B)-KL(\rho\|\pi_B)-KL(\rho^*\|\rho)", TRANSFER, (), "<=",
          HOLDS, transfer_reward),
    Claim("M28-kl", "M28", r"KL(\prod\pi^t\|\prod P^t) = \sum_tE_{\pi}KL(\pi^t\|P^t)", HERE, (COVERED,), "=", HOLDS,
          chain_kl, first_hand=True),
    Claim("M28-tv", "M28", r"TV(\prod\pi^t,\prod P^t) \le \sum_tE_{\pi}TV(\pi^t,P^t)", HERE, (COVERED,), "<=", HOLDS,
          chain_tv, first_hand=True),
    Claim("M29-increments", "M29", r"r_t=V(\cdot,y)-V\Rightarrow\prod_t tilt(r_t) = tilt(R)", HERE, (), "=", HOLDS,
          value_increments, first_hand=True),
    Claim("M29-gap", "M29", r"KL(seq\|step) = E_{seq}\sum\log Z_t-\beta V()", HERE, (), "=", HOLDS, stepwise_gap,
          first_hand=True),
    Claim("M29-oscillation", "M29", r"KL(seq\|step) \le osc(\sum_t\log Z_t)", HERE, (), "<=", HOLDS,
          stepwise_oscillation, first_hand=True),
    Claim("M29-stepwise", "M29", r"\prod_t tilt(r_t) = tilt(\sum_tr_t)",
          "the natural reading of stepwise GSI as a sampler of the sequence tilt", (), "=", REFUTED,
          stepwise_is_sequence),
)  # fmt: skip
