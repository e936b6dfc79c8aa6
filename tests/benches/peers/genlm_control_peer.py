"""genlm-control: sequential Monte Carlo with potentials, and its token samplers (GenLM)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tests.benches.peers.peer_record import Case, Law, Peer

__all__ = ["PEER"]

Chain = tuple[Sequence[float], Sequence[Sequence[float]]]  # chances of a, b, the end: at first, and after a, b
Weights = Mapping[str, float]
Weight = Callable[[str], float]

_TEXTS = ("", "a", "b", "aa", "ab", "ba", "bb")  # all that end within three tokens
_MODEL: Chain = ([0.5, 0.3, 0.2], [[0.2, 0.3, 0.5], [0.3, 0.2, 0.5]])
_PEAKED: Chain = ([0.75, 0.15, 0.1], [[0.1, 0.1, 0.8], [0.1, 0.2, 0.7]])
_PROPOSAL: Chain = ([0.4, 0.4, 0.2], [[0.3, 0.3, 0.4], [0.3, 0.3, 0.4]])
_CRITIC = ({"a": 0.8, "ab": 0.9}, {"a": 0.4, "b": 0.5, "aa": 0.6})
# Prefix weights must not grow along a text here, nor a whole text's pass its prefix's.
_ITEMS = (
    {"a": 0.5, "aa": 0.3, "ab": 0.4, "b": 0.9, "ba": 0.5, "bb": 0.8},
    {"": 0.7, "a": 0.4, "b": 0.8, "aa": 0.3, "ab": 0.2, "ba": 0.5, "bb": 0.6},
)
_FORBID = ({"b": 0.0, "ba": 0.0, "bb": 0.0, "ab": 0.0}, {"": 0.0, "b": 0.0, "ba": 0.0, "bb": 0.0, "ab": 0.0})
_ALLOW = ({"ab": 0.0}, {"": 0.0, "ab": 0.0})
_PROPER = (
    "the resulting sequences are properly weighted with respect to the product of the unit sampler's target potential "
    "and the critic potential"
)
_UNIT = "The sampled token and weight are properly weighted with respect to target.logw_next"
_EOS = (
    "This makes the resulting particles properly weighted with respect to the target distribution conditioned on "
    "|y| <= max_tokens; every returned sequence ends with EOS."
)


def _row(chain: Chain, text: str) -> Sequence[float]:
    return chain[1]["ab".index(text[-1])] if text else chain[0]


def _chance(chain: Chain, text: str, ends: bool = True) -> float:
    letters = float(np.prod([_row(chain, text[:t])["ab".index(text[t])] for t in range(len(text))]))
    return letters * (_row(chain, text)[2] if ends else 1.0)


def _kept(bound: float, weight: Weight) -> Law:
    """γ(x)/bound of every text, and the rest, with which a run is dropped."""

    def law() -> np.ndarray:
        some = [weight(text) / bound for text in _TEXTS]
        return np.array([*some, 1.0 - sum(some)])

    return law


def _model(chain: Chain = _MODEL) -> Weight:
    return lambda text: _chance(chain, text)


def _times(weights: Weights, power: int = 1, chain: Chain = _MODEL) -> Weight:
    return lambda text: _chance(chain, text) * weights.get(text, 1.0) ** power


def _locally(table: tuple[Weights, Weights], chain: Chain = _MODEL) -> Weight:
    """Every token drawn from the normalized product, weights forgotten; the end after two letters is free."""

    def weight(text: str) -> float:
        total = 1.0
        for t in range(min(len(text) + 1, 2)):
            head = text[:t]
            before = table[0].get(head, 1.0)
            if before == 0.0:
                return 0.0
            options = {
                letter: _row(chain, head)["ab".index(letter)] * table[0].get(head + letter, 1.0) / before
                for letter in "ab"
            } | {"$": _row(chain, head)[2] * table[1].get(head, 1.0) / before}
            total *= options[text[t] if t < len(text) else "$"] / sum(options.values())
        return total

    return weight


def _case(
    id: str,
    quotation: str,
    where: str,
    weight: Weight,
    rivals: Mapping[str, tuple[str, Weight]],
    bound: float = 1.0,
    model: Chain = _MODEL,
    **settings: object,
) -> Case:
    defaults = {"n": 2, "ess": 1.0}
    law = _kept(bound, weight)
    return Case(
        id,
        "smc",
        {"model": model, "outcomes": [*_TEXTS, "none"], "bound": bound} | defaults | settings,
        quotation,
        where,
        (*(text or "(empty)" for text in _TEXTS), "dropped"),
        law,
        {key: (words, _kept(bound, other)) for key, (words, other) in rivals.items()},
        draws=2000,
    )


_FORGOTTEN = "tokens are drawn from the normalized product, weights forgotten"
_UNCORRECTED = ("the end that is forced is not weighed", lambda text: _chance(_MODEL, text, ends=len(text) < 2))
# A twist is at least 0.8 and is taken back at two steps; no last weight is more than 1.
_CRITIC_BOUND = 1.0 / 0.8**2
_CRITICS = {
    "critic_missing": ("the critic is left out", _model()),
    "critic_twice": ("the critic counts twice", _times(_CRITIC[1], 2)),
    "end_uncorrected": (
        _UNCORRECTED[0],
        lambda text: _UNCORRECTED[1](text) * _CRITIC[1].get(text, 1.0),
    ),
}
_RATIO = 1.25 * 1.25 * 1.25  # of model to proposal, three tokens


def _awrs(
    id: str, table: tuple[Weights, Weights], chain: Chain = _MODEL, bound: float = 1.0, **settings: object
) -> Case:
    return _case(
        id,
        "It draws properly weighted samples from the product of a non-boolean potential and a boolean condition.",
        "docstring of AWRS",
        _times(table[1], chain=chain),
        {
            "weights_missing": (
                "tokens are drawn from the normalized product, weights forgotten",
                _locally(table, chain),
            ),
            "condition_missing": ("the condition is left out", _model(chain)),
        },
        model=chain,
        sampler="awrs",
        table=table,
        bound=bound,
        **settings,
    )


_CASES = (
    _case("smc_model", _EOS, "docstring of SMC", _model(), {"end_uncorrected": _UNCORRECTED}),
    _case("smc_one_particle", _EOS, "docstring of SMC", _model(), {"end_uncorrected": _UNCORRECTED}, n=1, ess=0.5),
    *(
        _case(
            f"smc_critic_{resampling}",
            _PROPER,
            "docstring of SMC",
            _times(_CRITIC[1]),
            _CRITICS,
            _CRITIC_BOUND,
            critic=_CRITIC,
            resampling=resampling,
            n=3,
        )
        for resampling in ("multinomial", "stratified", "systematic", "residual")
    ),
    _case(
        "smc_critic_ess_95",
        _PROPER,
        "docstring of SMC",
        _times(_CRITIC[1]),
        _CRITICS,
        _CRITIC_BOUND,
        critic=_CRITIC,
        ess=0.95,
    ),
    _case(
        "smc_critic_at_end",
        "when ess_threshold = 0, the critic is only applied at the end of the generation",
        "docstring of SMC.__call__",
        _times(_CRITIC[1]),
        _CRITICS,
        critic=_CRITIC,
        ess=0.0,
    ),
    _case(
        "smc_terminate_when",
        "When it fires, EOS closes the sequence in that same step with no importance-weight correction, so the "
        "condition is part of the target.",
        "docstring of SMC.__call__",
        lambda text: (
            _chance(_MODEL, "a", ends=False) if text == "a" else 0.0 if text[:1] == "a" else _chance(_MODEL, text)
        ),
        {
            "end_weighed": (
                "the end is weighed",
                lambda text: 0.0 if text[:1] == "a" and text != "a" else _chance(_MODEL, text),
            ),
            "condition_missing": ("the condition is left out", _model()),
        },
        stop="a",
    ),
    _case(
        "direct_product",
        _UNIT,
        "docstring of DirectTokenSampler",
        _times(_ITEMS[1]),
        {
            "weights_missing": (_FORGOTTEN, _locally(_ITEMS)),
            "table_missing": ("the second potential is left out", _model()),
        },
        table=_ITEMS,
    ),
    _case(
        "direct_proposal",
        "tokens are drawn from proposal.logw_next and reweighted by target/proposal so the result stays properly "
        "weighted",
        "docstring of DirectTokenSampler",
        _model(),
        {"uncorrected": ("the proposal is not corrected for", _model(_PROPOSAL))},
        _RATIO,
        proposal=_PROPOSAL,
    ),
    _awrs("awrs", _ALLOW),
    _awrs("awrs_forbidding", _FORBID),
    _awrs("awrs_peaked", _ALLOW, _PEAKED),
    _awrs("awrs_accepts_4", _ALLOW, max_accepts=4),
    _awrs("awrs_rejects_2", _FORBID, max_rejects=2),
    _awrs("awrs_peaked_rejects_2", _FORBID, _PEAKED, max_rejects=2),
    _awrs("awrs_accepts_4_rejects_2", _FORBID, max_accepts=4, max_rejects=2),
    _awrs("awrs_proposal", _ALLOW, bound=_RATIO, proposal=_PROPOSAL),
    *(
        _case(
            id,
            _UNIT.replace("target", "set_sampler.target"),
            "docstring of SetTokenSampler",
            _times(_ITEMS[1]),
            {
                "weights_missing": (
                    "tokens are drawn from the normalized product, weights forgotten",
                    _locally(_ITEMS),
                ),
                "table_missing": ("the second potential is left out", _model()),
            },
            bound=bound,
            sampler=sampler,
            table=_ITEMS,
            **options,
        )
        for id, sampler, bound, options in (
            ("eager_set", "eager", 3.0, {}),
            ("topk_set_1", "topk", 3.0, {"K": 1}),
            ("topk_set_2", "topk", 3.0, {"K": 2}),
        )
    ),
)

PEER = Peer(
    "genlm-control",
    "genlm-control",
    "0.4.1",
    "https://github.com/genlm/genlm-control",
    _CASES,
    "Potentials that are tables over two tokens. Weighted sequences become draws: a run of mean weight W is kept with "
    "probability W/M, M a bound of it, and one sequence is drawn in proportion to its weight; proper weighting, "
    "E(mean of w·f) = Σ γ·f, says that x comes with probability γ(x)/M, for any number of particles and any "
    "resampling.",
)
