"""Claims on softmax selection and best-of-n: M10-M16, M18, M23, M24, M27. See claims.py."""

from __future__ import annotations

from gsi_theory.claims.assumptions import (
    BEIRAMI,
    COVERED,
    EARNING,
    GSI,
    HERE,
    SEVERAL,
    SMOOTHING,
    SOFTMAX,
    UNSIGNED,
    VARYING,
    WELL_POSED,
)
from gsi_theory.claims.claim import Claim, Outcome
from gsi_theory.claims.sides_bon import bon_kl, bon_win_rate, poisson_gap
from gsi_theory.claims.sides_limits import linear_rate, rate
from gsi_theory.claims.sides_selection import (
    channel,
    drift,
    importance_bias,
    poisson_drafts,
    reward_pinsker,
    reward_share,
    tv_pinsker,
    tv_pointwise,
)
from gsi_theory.claims.sides_softmax import kl_chi2, kl_mean, pointwise, soft_bon, theorem_one

__all__ = ["TABLE"]

HOLDS, REFUTED = Outcome.HOLDS, Outcome.REFUTED
_ASKED = r"n\ge\frac{(\chi^2(\pi_B\|\pi_S)+1)e^{2\beta\|r\|_\infty}-1}{e^\varepsilon-1}"
_THEN = r"\Rightarrow KL(\pi\|Q)\le\varepsilon"
_SNIS = "Agapiou et al. 2017, from memory"

TABLE = (
    Claim("M10", "M10", r"P_n(y)/\pi(y) \ge n/(n-1+w(y))", HERE, (COVERED,), "<=", HOLDS, pointwise, logs=True,
          first_hand=True),
    Claim("M10-tv", "M10", r"TV(P_n,\pi) \le E_\pi\frac{(w-1)_+}{n-1+w}", HERE, (COVERED,), "<=", HOLDS, tv_pointwise,
          first_hand=True),
    Claim("M11-mean", "M11", r"KL(\pi\|P_n) \le E_\pi\log(1+(w-1)/n)", HERE, (COVERED,), "<=", HOLDS, kl_mean,
          first_hand=True),
    Claim("M11-chi2", "M11", r"KL(\pi\|P_n) \le \log(1+\chi^2(\pi\|\mu)/n)", HERE, (COVERED,), "<=", HOLDS, kl_chi2,
          first_hand=True),
    Claim("M11-pinsker", "M11", r"TV(P_n,\pi) \le \sqrt{\tfrac12\log(1+\chi^2(\pi\|\mu)/n)}", HERE, (COVERED,), "<=",
          HOLDS, tv_pinsker, first_hand=True),
    Claim("M12a", "M12", r"n\ge(\chi^2(\pi_B\|\pi_S)+1)\frac{e^{2\beta\|r\|_\infty}-1}{e^\varepsilon-1}" + _THEN,
          GSI + ", reading (a), as others transcribe it", (COVERED,), "<=", REFUTED,
          lambda f: theorem_one(f, "a")),
    Claim("M12b", "M12", _ASKED + ", r\\ge 0" + _THEN, GSI + ", reading (b)", (COVERED, UNSIGNED), "<=", HOLDS,
          lambda f: theorem_one(f, "b")),
    Claim("M12c", "M12", _ASKED + _THEN, GSI + ", reading (b) with signed rewards", (COVERED,), "<=", REFUTED,
          lambda f: theorem_one(f, "b")),
    Claim("M12-osc", "M12", _ASKED.replace(r"\|r\|_\infty", r"\,osc(r)") + _THEN, HERE, (COVERED,), "<=", HOLDS,
          lambda f: theorem_one(f, "osc"), first_hand=True),
    Claim("M12-reward", "M12", r"E_\pi r-E_Qr \le osc(r)\sqrt{\tfrac12\log(1+\chi^2(\pi\|\pi_S)/n)}",
          GSI + " with Pinsker, for the ungated law", (COVERED,), "<=", HOLDS, reward_pinsker),
    Claim("M13-cv", "M13", r"KL(\pi\|B_n) \le \log(1+CV^2/n)", "Verdun et al., arXiv 2505.03156", (SOFTMAX,), "<=",
          HOLDS, lambda f: soft_bon(f, "cv")),
    Claim("M13-sinh", "M13", r"KL(\pi\|B_n) \le \log(1+\sinh^2(\beta\,osc(r)/2)/n)", HERE, (SOFTMAX,), "<=", HOLDS,
          lambda f: soft_bon(f, "sinh"), first_hand=True),
    Claim("M14", "M14", r"\frac{E_\pi r-E_{P_n}r}{E_\pi r} \le \frac{v-1}{n+v-1},\ v=\frac{E_\pi rw}{E_\pi r}, r\ge 0",
          HERE, (COVERED, UNSIGNED, EARNING), "<=", HOLDS, reward_share, first_hand=True),
    Claim("M14-signed", "M14", r"\frac{E_\pi r-E_{P_n}r}{E_\pi r} \le \frac{v-1}{n+v-1},\ E_\pi r>0",
          "(M14) read without r ≥ 0", (COVERED, EARNING, WELL_POSED), "<=", REFUTED, reward_share),
    Claim("M15", "M15", r"KL(P_n\|\mu) \le \log\frac{n}{1+(n-1)w_{\min}/w_{\max}}", SMOOTHING, (), "<=", HOLDS,
          lambda f: drift(f, "kl")),
    Claim("M15-max", "M15", r"D_\infty(P_n\|\mu) \le \log\frac{n}{1+(n-1)w_{\min}/w_{\max}}", SMOOTHING, (), "<=",
          HOLDS, lambda f: drift(f, "max")),
    Claim("M15-race", "M15", r"D_\infty(P_n^{race}\|\mu) \le \log\frac{n}{1+(n-1)w_{\min}/w_{\max}}",
          SMOOTHING + ", read for the race rule", (), "<=", REFUTED, lambda f: drift(f, "max", "race")),
    Claim("M16", "M16", r"KL(P_n^{max}\|\mu) \le \log n-(n-1)/n", BEIRAMI, (), "<=", HOLDS,
          lambda f: bon_kl(f, "bound"), smooth=False),
    Claim("M16-equality", "M16", r"KL(P_n^{max}\|\mu) \ge \log n-(n-1)/n",
          "the equality widely cited, without 'continuous rewards'", (), "<=", REFUTED,
          lambda f: bon_kl(f, "equality"), smooth=False),
    Claim("M16-win", "M16", r"P(w(Y)>w(Y'))+\tfrac12P(w(Y)=w(Y')) \le n/(n+1)", BEIRAMI, (), "<=", HOLDS,
          lambda f: bon_win_rate(f, 0.5), smooth=False),
    Claim("M16-win-ties", "M16", r"P(w(Y)\ge w(Y')) \le n/(n+1)", BEIRAMI + ", read with ties as wins", (), "<=",
          REFUTED, lambda f: bon_win_rate(f, 1.0), smooth=False),
    Claim("M18-kl", "M18", r"\lim_n n^2 KL(\pi\|P_n) = \tfrac12 Var_\pi(w)", HERE, (COVERED, VARYING), "=", HOLDS,
          lambda f: rate(f, "kl"), first_hand=True),
    Claim("M18-tv", "M18", r"\lim_n n\,TV(P_n,\pi) = \tfrac12 E_\pi|w-1-\chi^2|", HERE, (COVERED, VARYING), "=", HOLDS,
          lambda f: rate(f, "tv"), first_hand=True),
    Claim("M18-reward", "M18", r"\lim_n n(E_\pi r - E_{P_n}r) = Cov_\pi(w,r)", HERE, (COVERED, VARYING), "=", HOLDS,
          lambda f: rate(f, "reward"), first_hand=True),
    Claim("M18-linear", "M18", r"\lim_n n\,KL(\pi\|P_n) = \chi^2(\pi\|\mu)", "(M11) read as the rate of the divergence",
          (COVERED, VARYING), "=", REFUTED, linear_rate),
    Claim("M23", "M23", r"KL(BoPoisson\|tilt) \le 8\cdot 10^{-4}", "arXiv 2506.19248", (), "<=", HOLDS, poisson_gap,
          smooth=False),
    Claim("M24", "M24", r"KL(\pi\|P_{Poisson(m)}) \le \log(1+(1+\chi^2)/m)", HERE, (COVERED,), "<=", HOLDS,
          lambda f: poisson_drafts(f, "plain"), first_hand=True),
    Claim("M24-sharp", "M24", r"KL(\pi\|P_{Poisson(m)}) \le \log(1+(1+\chi^2)/m)+\log(1-e^{-m})", HERE, (COVERED,),
          "<=", HOLDS, lambda f: poisson_drafts(f, "sharp"), first_hand=True),
    Claim("M27", "M27", r"\sup_{|f|\le 1}|E_{P_n}f-E_\pi f| \le 12(1+\chi^2)/n", _SNIS, (COVERED,), "<=", HOLDS,
          lambda f: importance_bias(f, "12")),
    Claim("M27-sharp", "M27", r"\sup_{|f|\le 1}|E_{P_n}f-E_\pi f| \le 2(1+\chi^2)/n", HERE, (COVERED,), "<=", HOLDS,
          lambda f: importance_bias(f, "2"), first_hand=True),
    Claim("M27-channel", "M27", r"TV(P_n,\pi) \le KL(\pi\|\mu)/\log n",
          "Flamich & Wells, arXiv 2405.04363, read without its o(1)", (COVERED, SEVERAL), "<=", REFUTED, channel),
)  # fmt: skip
