"""The article's references, in the order of their numbers, each with the wording that was before us."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["REFERENCES"]

REFERENCES: Mapping[str, str] = {
    "gsi": "J. Geuter, Y. Mroueh, D. Alvarez-Melis. Guided Speculative Inference for Efficient Test-Time Alignment of "
    "LLMs. ICLR 2026, arXiv:2506.04118. *Of its Theorem 1 we had a transcription: where the printed hypotheses differ, "
    "those count.*",
    "rsd": "B. Liao et al. Reward-Guided Speculative Decoding for Efficient LLM Reasoning. arXiv:2501.19324.",
    "race": "Uniform Race and ExpBoN. arXiv:2609.21899. *Known to us second-hand: a reading.*",
    "verdun": "C. M. Verdun et al. Soft Best-of-n Sampling for Model Alignment. arXiv:2505.03156.",
    "lens": "G. Aminian et al. Best-of-N through the Smoothing Lens: KL Divergence and Regret Analysis. ICLR 2026, "
    "arXiv:2507.05913. *Known to us second-hand: a reading.*",
    "strassen": "V. Strassen. The existence of probability measures with given marginals. Annals of Mathematical "
    "Statistics 36, 1965.",
    "edmonds": "J. Edmonds. Submodular functions, matroids, and certain polyhedra. In: Combinatorial Structures and "
    "Their Applications, 1970.",
    "smollm": "L. Ben Allal et al. SmolLM2: When Smol Goes Big. arXiv:2502.02737.",
}
