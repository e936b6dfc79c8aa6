"""What a check found, in one sentence: passed or failed, and how clearly; where nothing is judged, the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gsi_theory.runs.artifact import Artifact
from gsi_theory.types import Json

__all__ = ["verdict"]


def _law(s: Mapping[str, Json]) -> str:
    power, tests = s.get("detectable_tv"), "χ² tests" if s.get("way", "enumerated") == "enumerated" else "tests"
    found = "" if power is None else f"; a sampler off by a total variation of {power:.2g} is found with 80 %"
    mean = f"mean ratio π_B/π_S over drafts {s['ratio_mean']:.4f} ± {s['ratio_mean_se']:.4f} (1 if right)"
    if s.get("way") == "scored":  # of whole steps of language models the ratio has no mean that draws could show
        mean = f"1 - TV of draft and base {s['overlap']:.3f}"
    return (
        f"smallest p {s['worst_p_holm']:.2g} of {s['comparisons']} {tests} of samplers and "
        f"{s['worst_outcome_p_holm']:.2g} of {s['outcomes_tested']} single outcomes, after Holm's correction, bound "
        f"{s['family_level']:g}; largest |z| of an outcome {s['max_abs_z']:.2f}; {mean}{found}"
    )


def _prediction(s: Mapping[str, Json]) -> str:
    return (
        f"largest |z| {s['worst_abs_z']:.2f} of {s['comparisons']} comparisons of predicted and measured, bound "
        f"{s['bonferroni_bound']:.2f}; smallest p {s['worst_p_holm']:.2g} after Holm's correction, bound {s['level']:g}"
    )


def _headline(s: Mapping[str, Json]) -> str:
    return (
        f"drafts for KL(π‖law) ≤ {s['epsilon']:g} nats at β = {s['beta']:g}, where most are needed: GSI's Theorem 1 "
        f"asks 10^{s['log10_n_theorem_b']:.1f}, the bound on the instance {s['n_instance']:,}; exactly enough are "
        f"{s['n_exact_softmax']:,} (softmax) and {s['n_exact_race']:,} (race)"
    )


def _noise(s: Mapping[str, Json]) -> str:
    return (
        f"{s['engines'][1]} against {s['engines'][0]}: log-ratios of steps differ by {s['log_ratio_sd']:.2g} nats "
        f"(standard deviation), {s['log_ratio_max']:.2g} at most; of {s['runs']:,} steps {100 * s['winner_flips']:.2g} "
        f"% chose another winner, {100 * s['gate_flips']:.2g} % another side of the gate, "
        f"{100 * s['outcome_flips']:.2g} % ended with another step"
    )


def _speed(s: Mapping[str, Json]) -> str:
    return (
        f"a step of n = {s['n']} takes {s['seconds_per_step']:.3g} s, the naive way {s['ratio_median']:.3g} times as "
        f"long ({s['ratio_low']:.3g} to {s['ratio_high']:.3g} in {s['repeats']} repeats); with {s['batch']} prompts "
        f"side by side {s['batch_seconds_per_step']:.3g} s each, the naive way {s['batch_ratio_median']:.3g} times as "
        f"long; drawing and scoring cost {s['floor_seconds_per_step']:.3g} s at least at this machine's rates, "
        f"{100 * s['floor_share']:.0f} % of the step"
    )


def _seconds(s: Mapping[str, Json]) -> str:
    return (
        f"of {s['steps']} kinds of steps at {s['settings']} settings that were not calibrated on, "
        f"{s['within_20_percent']} took within 20 % of the predicted seconds; median deviation "
        f"{100 * s['median']:.2g} %, the largest: {s['largest']:.3g} times as predicted ({s['clock']})"
    )


def _study(s: Mapping[str, Json]) -> str:
    found, gains = s["findings"], []
    for key, rival in (
        ("above_soft_best_of_n_on_the_draft", "soft best-of-n on the draft"),
        ("above_rsd", "RSD"),
        ("above_base", "one answer of the base"),
        ("above_soft_best_of_n_on_the_base", "soft best-of-n on the base"),
    ):
        by_draft = (
            f"{gain:+.2f} ± {found[key]['errors'][draft]:.2f} ({draft})" for draft, gain in found[key]["gains"].items()
        )
        gains.append(f"over {rival} {', '.join(by_draft)}")
    return (
        f"accuracy gained by GSI at n = {max(s['ns'])} on {s['problems']} problems: {'; '.join(gains)}. Predictions "
        f"against fresh draws: smallest p {s['worst_p_holm']:.2g} of {s['comparisons']} after Holm's correction, bound "
        f"{s['level']:g}; variance of z {s['z_variance']:.2f} ± {s['z_variance_se']:.2f} over {s['z_cells']} cells"
    )


_SAID: dict[str, Callable[[Mapping[str, Json]], str]] = {
    "lm_law": _law,
    "lm_prediction": _prediction,
    "lm_headline": _headline,
    "lm_noise": _noise,
    "lm_speed": _speed,
    "lm_study": _study,
    "lm_seconds": _seconds,
}


def verdict(artifact: Artifact) -> str:
    """The sentence on a check's artifact; it begins with "passed" or "failed" where the check judges."""
    s = artifact.summary
    said = _accuracy(artifact) if artifact.name == "lm_accuracy" else _SAID[artifact.name](s)
    return f"{'passed' if s['passed'] else 'failed'}: {said}" if "passed" in s else said


def _accuracy(artifact: Artifact) -> str:
    """Accuracy of every method at its largest n."""
    columns = artifact.tables["methods"]
    last = {
        name: (n, accuracy)
        for name, n, accuracy in zip(columns["method"], columns["n"], columns["accuracy"], strict=True)
    }
    shown = (f"{name} {'–' if a is None else f'{100 * a:.1f} %'} (n = {n})" for name, (n, a) in last.items())
    return f"solved of {artifact.summary['problems']} problems: {', '.join(shown)}"
