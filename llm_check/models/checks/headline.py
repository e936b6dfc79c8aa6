"""How many drafts the theory asks for and how many are needed, on a pair of models: artifact `lm_headline`.

At each position the next steps of the pair are enumerated (of a large vocabulary, all but `tolerance` of mass), so the
smallest n with KL(π‖Q_n) ≤ ε is exact; it stands beside the n of GSI Theorem 1, reading (b) (M12), and of the
instance bound (M11).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from gsi_theory import Instance, Scheme, divergence, selection_law
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.softmax_bounds import asked_drafts
from gsi_theory.errors import InputError
from gsi_theory.instance import log_weight
from gsi_theory.laws.draws import MOST
from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.types import Json
from llm_check.models.checks.check_settings import read_settings
from llm_check.models.checks.check_table import CHECKS
from llm_check.models.checks.places import places_of
from llm_check.models.tiny.exact_steps import enumerate_position
from llm_check.models.world import World, world_record

__all__ = ["DEFAULTS", "needed_drafts", "run"]

DEFAULTS = CHECKS["lm_headline"].defaults


def needed_drafts(instance: Instance, beta: float, epsilon: float, rule: str) -> int:
    """Smallest n with KL(π‖Q_n) ≤ ε for the ungated law Q of a rule, by doubling and bisection on the exact law."""
    facts = Facts.of(instance, Scheme(beta, 1, rule=rule))
    draft = instance.draft_candidates()
    weight = log_weight(draft, beta)

    def near(n: int) -> bool:
        return divergence.kl(facts.log_pi, selection_law(draft.log_mass, weight, n, rule).log_prob) <= epsilon

    high = 1
    while not near(high):
        high *= 2
        if high > MOST:
            raise InputError(f"epsilon = {epsilon:g}: no n up to 2^53 comes so near to the target, give a larger one")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if near(middle) else (middle, high)
    return high


def run(
    world: World, seed: int, out: Path, settings: dict[str, str], progress: Callable[[int, int], None], command: str
) -> Path:
    """Write the artifact; settings beta, epsilon, problems (one position each), tolerance (mass left out)."""
    chosen = read_settings(settings, DEFAULTS)
    beta, epsilon = chosen["beta"], chosen["epsilon"]
    places = places_of(world, seed, chosen["problems"])
    rows: dict[str, list[Json]] = {}
    for done, place in enumerate(places, start=1):
        enumerated = enumerate_position(world, place, chosen["tolerance"])
        facts = Facts.of(enumerated.instance, Scheme(beta, 1))
        row = {
            "problem_id": place.prompt_id,
            "step": place.step,
            "prefix_text": world.draft.tokenizer.decode(list(place.prefix)),
            "outcomes": len(enumerated.tokens),
            "missing_mass": max(enumerated.missing_draft, enumerated.missing_base),
            "chi2_pair": enumerated.chi2_pair,
            "chi2_tilt": facts.chi2,
            "coverage": float(np.exp(facts.log_coverage)),
            "kl_pair": divergence.kl(enumerated.instance.log_base, enumerated.instance.log_draft),
            "log10_n_theorem_b": asked_drafts(facts, "b", epsilon) / np.log(10.0),
            "n_instance": int(np.ceil(np.exp(asked_drafts(facts, "instance", epsilon)))),
            "n_exact_softmax": needed_drafts(enumerated.instance, beta, epsilon, "softmax"),
            "n_exact_race": needed_drafts(enumerated.instance, beta, epsilon, "race"),
        }
        for key, value in row.items():
            rows.setdefault(key, []).append(value)
        progress(done, len(places))
    # The report opens with the position that needs most drafts, the one kindest to the theorem.
    hardest = max(range(len(places)), key=lambda i: (rows["n_exact_softmax"][i], rows["n_instance"][i]))
    shown = {key: values[hardest] for key, values in rows.items()}
    said = getattr(places[hardest].problem, "text", "") or places[hardest].problem.question
    summary = {"beta": beta, "epsilon": epsilon, "problem": said, "world": world_record(world)} | shown
    return write_artifact(out, "lm_headline", provenance(command, seed), summary, {"positions": rows})
