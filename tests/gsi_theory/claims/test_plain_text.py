"""Statements as a terminal shows them: no LaTeX is left, brackets match, and what binds stays bound."""

from __future__ import annotations

import pytest

from gsi_theory.claims import CLAIMS
from gsi_theory.claims.plain_text import plain_text

SHOWN = {
    "M7-tv": "lim_n TV(G_n,π) = a(1-a)",
    "M10-tv": "TV(P_n,π) ≤ E_π[(w-1)_+/(n-1+w)]",
    "M11-pinsker": "TV(P_n,π) ≤ √(½ log(1+χ²(π‖μ)/n))",
    "M15": "KL(P_n‖μ) ≤ log[n/(1+(n-1)w_min/w_max)]",
    "M23": "KL(BoPoisson‖tilt) ≤ 8·10^(-4)",
    "M8": "|E_G r-E_π r-Cov_π(1_A,r)| ≤ osc(r) [TV(Q,π)+π(A^c) TV(B,π)]",
    "M17-dominance-renyi-half": "D_{1/2}(π‖P_n^race) ≤ D_{1/2}(π‖P_n^softmax)",
    "M21-reward": "E r = E_{π_B} r+E_{π_S}[ω(r-E_{π_B} r)]",
}


@pytest.mark.parametrize("name", SHOWN)
def test_shown(name: str) -> None:
    assert plain_text(CLAIMS[name].statement) == SHOWN[name]


def test_no_statement_keeps_latex() -> None:
    for claim in CLAIMS.values():
        text = plain_text(claim.statement)
        assert "\\" not in text and "  " not in text, (claim.id, text)
        for left, right in ("()", "[]", "{}"):
            assert text.count(left) == text.count(right), (claim.id, text)
