"""Toy problems chosen to tell a method from its mistakes, and these from each other, by their exact laws.

From a list of random instances a few are taken one after the other: each adds most to the smallest mean KL divergence
of a mistake's law from the method's, and then of mistakes from each other (KL divergence is what a draw earns, M50).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.special import rel_entr

from gsi_theory.conformance.mistakes import MISTAKES, ToyCase
from gsi_theory.conformance.play import Rival
from gsi_theory.errors import InputError
from gsi_theory.instance import Instance, Scheme, beta_times
from gsi_theory.laws.method_law import default_clip
from gsi_theory.methods import METHODS, Method, named_method
from gsi_theory.types import Floats

__all__ = ["Design", "design_of", "refusal"]

TRIED, CHOSEN = 48, 4  # instances that are looked at, problems that are played
SIZE = 4  # outcomes of a problem
FEWEST_NATS = 1e-6  # a mistake that gains less a draw on every instance changes nothing worth the name


@dataclass(frozen=True)
class Design:
    """The problems of a method: cases, its law on each with the bound on its TV error, its parameters, its rivals, and
    the expected draws of drafts and base, (problems,) each."""

    method: Method
    cases: tuple[ToyCase, ...]
    laws: tuple[Floats, ...]
    errors: tuple[float, ...]
    parameters: tuple[dict[str, float], ...]
    rivals: tuple[Rival, ...]
    draft_draws: Floats
    base_draws: Floats


def refusal(method: Method) -> str:
    """Why a problem of two policies cannot express a method; "" where it can."""
    if method.switch is not None:
        return "its law is of several steps: a problem has one"
    if method.proposal.startswith("drafters"):
        return "it needs further drafters: a problem has a draft and a base"
    return ""


def _instance(rng: np.random.Generator) -> Instance:
    """Two policies over SIZE outcomes, the first of equal chance under both, rewards with a tie."""
    draft, base = rng.dirichlet(np.full(SIZE, 2.0), size=2) * 0.94 + 0.06 / SIZE
    reward = np.round(rng.random(SIZE), 2)
    reward[2] = reward[1]
    share = np.round(0.5 * (draft[0] + base[0]), 3)
    for p in (draft, base):
        p[1:] *= (1.0 - share) / p[1:].sum()
        p[0] = share
    log_share = np.log(share)
    log_draft, log_base = (np.concatenate([[log_share], np.log(p[1:])]) for p in (draft, base))
    return Instance(log_draft, log_base, reward)


def _case(method: Method, rng: np.random.Generator) -> ToyCase:
    instance = _instance(rng)
    # the outcome of log-ratio 0 meets the threshold exactly, in every order of the arithmetic
    assert instance.log_draft[0] == instance.log_base[0], "the first outcome has one chance under both"
    beta = float(rng.choice([1.0, 2.0, 3.0, 5.0]))
    n, n_base = int(rng.integers(2, 5)), int(rng.integers(2, 4))
    threshold = float(instance.reward[0]) if method.threshold else None
    if method.gate == "score":
        threshold = float(np.round(np.log(n) / beta + 0.3, 2))
    return ToyCase(method, instance, method.applied(Scheme(beta, n, threshold, n_base=n_base)))


def _mistaken(cases: Sequence[ToyCase], own: Sequence[Floats]) -> dict[str, list[Floats]]:
    """Laws of the mistakes that the method can make on some case; where it cannot, its own."""
    laws: dict[str, list[Floats]] = {}
    for mistake in MISTAKES.values():
        each = [mistake.law(case) for case in cases]
        if any(law is not None for law in each):
            laws[mistake.id] = [p if law is None else law for law, p in zip(each, own, strict=True)]
    return laws


def _others(cases: Sequence[ToyCase]) -> dict[str, tuple[Floats, ...]]:
    """Laws of the other methods on the same problems."""
    laws = {}
    for method in METHODS.values():
        if method.id == cases[0].method.id or refusal(method):
            continue
        schemes = [method.applied(replace(case.scheme, rule="softmax", gate="tilted_reward")) for case in cases]
        if method.threshold is None or schemes[0].threshold is not None:
            pairs = zip(cases, schemes, strict=True)
            laws[method.id] = tuple(np.exp(method.law(case.instance, scheme).log_prob) for case, scheme in pairs)
    return laws


@lru_cache(maxsize=32)
def design_of(name: str) -> Design:
    """The problems on which `gsi conform` plays a method. Raises InputError for one that no problem can express."""
    method = named_method(name)
    if why := refusal(method):
        raise InputError(f"method {method.id!r}: {why}; give another one")
    rng = np.random.default_rng([0, 50])
    cases = [_case(method, rng) for _ in range(TRIED)]
    own = [case.law() for case in cases]
    laws = _mistaken(cases, own)
    gains = {name: max(_kl(law, p) for law, p in zip(each, own, strict=True)) for name, each in laws.items()}
    names = [name for name, gain in gains.items() if gain > FEWEST_NATS]
    chosen = _chosen(np.array([laws[name] for name in names]).swapaxes(0, 1), np.array(own)) if names else range(CHOSEN)
    taken = [cases[at] for at in chosen]
    exact = [method.law(case.instance, case.scheme) for case in taken]
    rivals = [Rival("mistake", name, MISTAKES[name].words, tuple(laws[name][at] for at in chosen)) for name in names]
    rivals += [Rival("method", name, METHODS[name].label, each) for name, each in _others(taken).items()]
    return Design(
        method,
        tuple(taken),
        tuple(np.exp(law.log_prob) for law in exact),
        tuple(float(law.error) for law in exact),
        tuple(_parameters(case) for case in taken),
        tuple(rivals),
        np.array([law.draft_samples for law in exact]),
        np.array([law.base_samples for law in exact]),
    )


def _parameters(case: ToyCase) -> dict[str, float]:
    """A method's own numbers: the clip of its log-ratio, nats, and the log of the score its gate asks for."""
    parameters = {}
    if case.method.weight.startswith("clipped"):
        parameters["clip"] = default_clip(case.scheme)
    if case.method.gate == "score" and case.scheme.threshold is not None:
        parameters["log_score"] = float(beta_times(np.array([case.scheme.threshold]), case.scheme.beta)[0])
    return parameters


def _kl(p: Floats, q: Floats) -> float:
    return float(rel_entr(p, np.maximum(q, 1e-12)).sum())


def _chosen(table: Floats, own: Floats) -> Sequence[int]:
    """Indices of CHOSEN instances, from table (tried, J, K) of mistakes and own (tried, K): the smallest mean gain of a
    mistake over the method's law, and the smallest of a mistake over another, as large as a greedy
    choice makes them."""
    gain = rel_entr(table, np.maximum(own, 1e-12)[:, None]).sum(axis=-1)  # (tried, J)
    logs = np.log(np.maximum(table, 1e-12))
    cross = (table[:, :, None, :] * (logs[:, :, None, :] - logs[:, None, :, :])).sum(axis=-1)  # (tried, J, J)
    pairs = cross.max(axis=0) > FEWEST_NATS  # those that some instance tells apart

    def value(some: list[int]) -> float:
        least, between = np.sort(gain[some].mean(axis=0)), np.sort(cross[some].mean(axis=0)[pairs])
        parts = (least[: 1 + len(least) // 8], between[: 1 + len(between) // 32])
        return float(sum(np.log(part + 1e-9).mean() for part in parts if part.size))

    chosen: list[int] = []
    for _ in range(CHOSEN):
        chosen.append(max(set(range(len(table))) - set(chosen), key=lambda at: (value([*chosen, at]), -at)))
    return chosen
