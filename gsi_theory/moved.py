"""What moved: each old name answers for one release, with a DeprecationWarning that names the new place.

`import gsi_theory.law` gives what is now `gsi_theory.laws.selection_law`, and `python -m OLD` runs it. To move a
module, add a line to `MOVED`; to move a name out of a module, a line to `MOVED_NAMES`. The lines of today moved after
release 0.1.0: release 0.2.0 answers at the old places, `GONE` does not. A module that stays where it is but lost names
says `__getattr__ = moved_names(__name__)`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

__all__ = ["GONE", "MOVED", "MOVED_NAMES", "moved_names", "new_place"]

# the release that has none of these old names any more
GONE = "0.3.0"

# old place -> new place; a package's line holds for all below it that have no line of their own
MOVED = {
    "gsi_theory.logscale": "gsi_theory.arrays.logscale",
    "gsi_theory.quadrature": "gsi_theory.arrays.quadrature",
    "gsi_theory.compiled": "gsi_theory.arrays.kernels",
    "gsi_theory.memory": "gsi_theory.arrays.memory",
    "gsi_theory.law": "gsi_theory.laws.selection_law",
    "gsi_theory.law_batches": "gsi_theory.laws.selection_law",
    "gsi_theory.curve": "gsi_theory.laws.tv_curve",
    "gsi_theory.draws": "gsi_theory.laws.draws",
    "gsi_theory.drafters": "gsi_theory.laws.drafters",
    "gsi_theory.channel": "gsi_theory.laws.channel",
    "gsi_theory.clipping": "gsi_theory.laws.clipping",
    "gsi_theory.efficiency": "gsi_theory.laws.efficiency",
    "gsi_theory.race_means": "gsi_theory.rules.race_means",
    "gsi_theory.rsd": "gsi_theory.laws.rsd",
    "gsi_theory.speculative": "gsi_theory.laws.speculative",
    "gsi_theory.weights": "gsi_theory.laws.weights",
    "gsi_theory.gate": "gsi_theory.laws.gate",
    "gsi_theory.knockout": "gsi_theory.steps.knockout",
    "gsi_theory.tree": "gsi_theory.steps.tree",
    "gsi_theory.stepwise": "gsi_theory.steps.stepwise",
    "gsi_theory.soft_value": "gsi_theory.steps.soft_value",
    "gsi_theory.switching": "gsi_theory.steps.switching",
    "gsi_theory.coverage": "gsi_theory.samples.weight_coverage",
    "gsi_theory.gated_estimate": "gsi_theory.samples.gated_estimate",
    "gsi_theory.intervals": "gsi_theory.samples.intervals",
    "gsi_theory.reach": "gsi_theory.samples.pool_limits",
    "gsi_theory.subsets": "gsi_theory.rules",
    "gsi_theory.subsets.compiled": "gsi_theory.rules.subset_kernels",
    "gsi_theory.subsets.max": "gsi_theory.rules.max",
    "gsi_theory.subsets.race": "gsi_theory.rules.race_subsets",
    "gsi_theory.subsets.softmax": "gsi_theory.rules.softmax_subsets",
    "gsi_theory.subsets.sums": "gsi_theory.rules.subset_sums",
    "gsi_theory.exact": "gsi_theory.certified.rational",
    "gsi_theory.certified.facts": "gsi_theory.certified.ball_facts",
    "gsi_theory.certified.law": "gsi_theory.certified.ball_law",
    "gsi_theory.certified.sides": "gsi_theory.certified.twin_tables",
    "gsi_theory.certified.gate": "gsi_theory.certified.twin_tables",
    "gsi_theory.certified.selection": "gsi_theory.certified.twin_tables",
    "gsi_theory.claims.gate": "gsi_theory.claims.gate_bounds",
    "gsi_theory.claims.methods": "gsi_theory.claims.step_bounds",
    "gsi_theory.claims.race": "gsi_theory.claims.race_bounds",
    "gsi_theory.claims.selection": "gsi_theory.claims.softmax_bounds",
    "gsi_theory.claims.sides_bon": "gsi_theory.claims.drift_bounds",
    "gsi_theory.claims.sides_drafters": "gsi_theory.claims.drafter_bounds",
    "gsi_theory.claims.sides_gate": "gsi_theory.claims.gate_bounds",
    "gsi_theory.claims.sides_limits": "gsi_theory.claims.gate_limits",
    "gsi_theory.claims.sides_race": "gsi_theory.claims.race_bounds",
    "gsi_theory.claims.sides_rejection": "gsi_theory.claims.rejection_bounds",
    "gsi_theory.claims.sides_selection": "gsi_theory.claims.sides",
    "gsi_theory.claims.sides_softmax": "gsi_theory.claims.softmax_bounds",
    "gsi_theory.claims.sides_stepwise": "gsi_theory.claims.step_bounds",
    "gsi_theory.claims.sides_tournament": "gsi_theory.claims.tournament_bounds",
    "gsi_theory.refutation.mutants": "gsi_theory.refutation.tightened",
    "gsi_theory.refutation.judging": "gsi_theory.refutation.cases",
    "gsi_theory.artifact": "gsi_theory.runs.artifact",
    "gsi_theory.artifact_tables": "gsi_theory.runs.artifact_tables",
    "gsi_theory.command_law": "gsi_theory.runs.command_law",
    "gsi_theory.command_refute": "gsi_theory.runs.command_refute",
    "gsi_theory.command_report": "gsi_theory.runs.command_report",
    "gsi_theory.completion": "gsi_theory.runs.completion",
    "gsi_theory.json_input": "gsi_theory.runs.json_input",
    "gsi_theory.options": "gsi_theory.runs.options",
    "gsi_theory.output": "gsi_theory.runs.output",
    "gsi_theory.progress": "gsi_theory.runs.progress",
    "gsi_theory.terminal": "gsi_theory.runs.terminal",
    "sims.beside": "sims.agreement",
    "sims.audits.asked": "sims.audits.drafts_needed",
    "sims.audits.grid": "sims.audits.regimes",
    "sims.hardware": "gsi_theory.runs.costs",
    "sims.journal": "gsi_theory.runs.journal",
    "sims.workers": "gsi_theory.runs.workers",
    "sims.sampling.streams": "sims.sampling.generators",
    "sims.families": "sims.instance_families",
    "sims.experiments.methods": "sims.experiments.method_comparison",
    "sims.experiments.switching": "sims.experiments.switching_trees",
    "llm_check.accuracy": "llm_check.models.decoding.accuracy",
    "llm_check.checks.accuracy": "llm_check.models.checks.solution_accuracy",
    "llm_check.checks.law": "llm_check.models.checks.step_law",
    "llm_check.checks.noise": "llm_check.models.checks.decision_noise",
    "llm_check.checks.prediction": "llm_check.models.checks.fresh_runs",
    "llm_check.checks.prediction_cells": "llm_check.models.checks.fresh_run_cells",
    "llm_check.checks.settings": "llm_check.models.checks.check_settings",
    "llm_check.checks.table": "llm_check.models.checks.check_table",
    "llm_check.checks.verdict": "llm_check.models.checks.check_verdict",
    "llm_check.checks": "llm_check.models.checks",
    "llm_check.command_check": "llm_check.models.command_check",
    "llm_check.command_decode": "llm_check.models.command_decode",
    "llm_check.command_pool": "llm_check.models.command_pool",
    "llm_check.command_doctor": "llm_check.logs.command_doctor",
    "llm_check.command_plan": "llm_check.logs.command_plan",
    "llm_check.command_predict": "llm_check.logs.command_predict",
    "llm_check.options": "llm_check.models.model_options",
    "llm_check.decode": "llm_check.models.decoding.solution",
    "llm_check.delimiter": "llm_check.models.decoding.delimiter",
    "llm_check.measure": "llm_check.models.decoding.fresh_runs_of_step",
    "llm_check.methods.candidates": "llm_check.models.decoding.step_candidates",
    "llm_check.methods.selection": "llm_check.models.decoding.winners",
    "llm_check.methods.step": "llm_check.models.decoding.method_step",
    "llm_check.methods.table": "llm_check.models.decoding.method_table",
    "llm_check.methods": "llm_check.models.decoding",
    "llm_check.positions": "llm_check.models.decoding.positions",
    "llm_check.prompting": "llm_check.models.decoding.prompting",
    "llm_check.steps": "llm_check.models.decoding.reasoning_steps",
    "llm_check.streams": "llm_check.models.decoding.random_streams",
    "llm_check.solutions": "llm_check.models.decoding.solutions",
    "llm_check.journal": "gsi_theory.runs.journal",
    "llm_check.doctor.coverage": "llm_check.logs.pools.step_coverage",
    "llm_check.doctor.doctor": "llm_check.logs.pools.findings",
    "llm_check.doctor.rows": "llm_check.logs.pools.self_checks",
    "llm_check.doctor": "llm_check.logs.pools",
    "llm_check.planner.choice": "llm_check.logs.planner.goal",
    "llm_check.planner.choose": "llm_check.logs.planner.best_option",
    "llm_check.planner.cost": "gsi_theory.runs.costs",
    "llm_check.planner.grid": "llm_check.logs.planner.scheme_grid",
    "llm_check.planner.latency": "llm_check.logs.planner.calibration",
    "llm_check.planner.plan": "llm_check.logs.planner.recommendation",
    "llm_check.planner.pool_page": "llm_check.logs.planner.page_artifact",
    "llm_check.planner.table": "llm_check.logs.planner.option_table",
    "llm_check.planner.turning": "llm_check.logs.planner.overuse",
    "llm_check.planner.distinct": "llm_check.logs.planner.scheme_grid",
    "llm_check.planner.pareto": "llm_check.logs.planner.best_option",
    "llm_check.planner": "llm_check.logs.planner",
    "llm_check.predict": "llm_check.logs.prediction",
    "llm_check.words": "gsi_theory.runs.terminal",
    "llm_check.pools.checks": "llm_check.logs.pools.row_checks",
    "llm_check.pools.importer": "llm_check.logs.formats.log_import",
    "llm_check.logs.pools.importer": "llm_check.logs.formats.log_import",
    "llm_check.pools.files": "llm_check.logs.pools.pool_files",
    "llm_check.pools.parts": "llm_check.models.collecting.parts",
    "llm_check.pools.collect": "llm_check.models.collecting.collect",
    "llm_check.pools.record": "llm_check.models.collecting.provenance",
    "llm_check.pools.fingerprint": "llm_check.models.collecting.provenance",
    "llm_check.pools.trajectories": "llm_check.models.collecting.trajectories",
    "llm_check.pools": "llm_check.logs.pools",
    "llm_check.engines.contract": "llm_check.models.engines.engine",
    "llm_check.engines.load": "llm_check.models.engines.load_engine",
    "llm_check.engines.weights": "llm_check.models.engines.weight_files",
    "llm_check.engines.decoder": "llm_check.models.engines.lean_decoder",
    "llm_check.engines": "llm_check.models.engines",
    "llm_check.rewards.contract": "llm_check.models.rewards.reward_model",
    "llm_check.rewards.load": "llm_check.models.rewards.load_reward",
    "llm_check.rewards.memory": "llm_check.models.rewards.scored_once",
    "llm_check.rewards": "llm_check.models.rewards",
    "llm_check.tasks.load": "llm_check.models.tasks.load_task",
    "llm_check.tasks.families": "llm_check.models.tasks.benchmarks",
    "llm_check.tasks": "llm_check.models.tasks",
    "llm_check.spec": "llm_check.models.spec",
    "llm_check.grading.check": "llm_check.models.grading.check_grader",
    "llm_check.grading.pool": "llm_check.models.grading.worker_pool",
    "llm_check.grading": "llm_check.models.grading",
    "llm_check.tiny": "llm_check.models.tiny",
    "llm_check.enumeration": "llm_check.models.tiny.enumeration",
    "llm_check.exact": "llm_check.models.tiny.exact_steps",
    "llm_check.world": "llm_check.models.world",
}


# old module.name -> new module.name
MOVED_NAMES = {
    "llm_check.checks.prediction_cells.sampled_positions": "llm_check.models.checks.places.sampled_positions",
    "llm_check.tasks.load.ARITHMETIC_PROBLEMS": "llm_check.models.tasks.load_task.WRITTEN_PROBLEMS",
    "gsi_theory.laws.rsd.StepRule": "gsi_theory.laws.rsd.StepAcceptance",
    "gsi_theory.rsd.StepRule": "gsi_theory.laws.rsd.StepAcceptance",
    "llm_check.decode.METHODS": "llm_check.models.decoding.method_table.METHODS",
    "llm_check.decode.Method": "llm_check.models.decoding.method_table.Method",
    "llm_check.decode.Models": "llm_check.models.decoding.step_candidates.Models",
    "llm_check.decode.StepMeasurement": "llm_check.models.decoding.fresh_runs_of_step.StepMeasurement",
    "llm_check.decode.measure_step": "llm_check.models.decoding.fresh_runs_of_step.measure_step",
    "llm_check.decode.run_step": "llm_check.models.decoding.method_step.run_step",
    "llm_check.methods.candidates.Candidates": "llm_check.models.decoding.step_candidates.StepCandidates",
    "llm_check.grading.grading.Verdict": "llm_check.models.grading.grading.GradeOutcome",
    "llm_check.engines.token_tree.Level": "llm_check.models.engines.token_tree.TreeLevel",
    "llm_check.checks.significance.Calibration": "llm_check.models.checks.significance.ScoreCalibration",
    "llm_check.streams.Stream": "llm_check.models.decoding.random_streams.PositionStream",
    "llm_check.tasks.arithmetic.Problem": "llm_check.models.tasks.arithmetic.ArithmeticProblem",
    "llm_check.tasks.families.Family": "llm_check.models.tasks.benchmarks.Benchmark",
    "llm_check.solutions.Plan": "llm_check.models.decoding.solutions.SolutionRun",
    "gsi_theory.logscale.Array": "gsi_theory.types.Floats",
    "llm_check.command_doctor.left_out_lines": "llm_check.logs.pools.pool_files.left_out_lines",
    "llm_check.command_doctor.plain": "gsi_theory.runs.json_output.plain",
    "llm_check.command_plan.embedded_page": "llm_check.models.embedded_page.embedded_page",
    "llm_check.command_predict.mean_rows": "llm_check.logs.mean_prediction.mean_rows",
    **{
        f"llm_check.predict.{name}": f"llm_check.logs.mean_prediction.{name}"
        for name in ("MeanPredictions", "mean_rows", "predict", "scheme_grid")
    },
    "llm_check.doctor.doctor.Diagnosis": "llm_check.logs.pools.diagnosis.Diagnosis",
    "llm_check.doctor.doctor.doctor": "llm_check.logs.pools.diagnosis.doctor",
    "llm_check.doctor.prefix_counts.Draws": "llm_check.logs.pools.prefix_counts.PrefixDraws",
    "llm_check.doctor.rows.Coverage": "llm_check.logs.pools.self_checks.StepCover",
    "llm_check.planner.plan.make_plan": "llm_check.logs.planner.recommendation.plan",
    **{
        f"llm_check.pools.importer.{name}": f"llm_check.logs.formats.field_maps.{name}"
        for name in ("CONVERSIONS", "FieldMap", "parse_maps")
    },
    "llm_check.pools.position_arrays.Block": "llm_check.logs.pools.position_arrays.PositionBlock",
    "gsi_theory.options.read_pairs": "gsi_theory.runs.settings.read_pairs",
    "llm_check.planner.latency.DEVICES": "gsi_theory.runs.costs.DEVICES",
    "llm_check.planner.latency.SHAPES": "gsi_theory.runs.costs.SHAPES",
    "llm_check.planner.latency.Device": "gsi_theory.runs.costs.Device",
    "llm_check.planner.latency.Shape": "gsi_theory.runs.costs.Shape",
    "llm_check.planner.latency.Trio": "gsi_theory.runs.costs.Trio",
    "llm_check.planner.latency.gsi_seconds": "gsi_theory.runs.costs.gsi_seconds",
    "llm_check.planner.latency.soft_bon_seconds": "gsi_theory.runs.costs.soft_bon_seconds",
    "llm_check.planner.latency.Calibration": "gsi_theory.runs.costs.Slowdown",
    "llm_check.planner.cost.Cost": "gsi_theory.runs.costs.StepCost",
    "llm_check.journal.plain": "gsi_theory.runs.json_output.plain",
    "llm_check.methods.selection.tilted_reward": "gsi_theory.instance.tilted_rewards",
    "gsi_theory.options.set_options": "gsi_theory.runs.settings.set_options",
    "gsi_theory.refutation.refute.Finding": "gsi_theory.refutation.refute.Refutation",
    "gsi_theory.claims.sides_bon.poisson_gap": "gsi_theory.claims.poisson_bounds.poisson_gap",
    "gsi_theory.claims.sides_bon.poisson_gap_value": "gsi_theory.claims.poisson_bounds.poisson_gap_value",
    "gsi_theory.claims.sides_gate.gate_gains": "gsi_theory.claims.gate_limits.gate_gains",
    "gsi_theory.claims.sides_gate.split_weights": "gsi_theory.claims.gate_limits.split_weights",
    "gsi_theory.claims.sides_limits.linear_rate": "gsi_theory.claims.softmax_rates.linear_rate",
    "gsi_theory.claims.sides_limits.rate": "gsi_theory.claims.softmax_rates.rate",
    "gsi_theory.claims.sides_race.hockey_limit": "gsi_theory.claims.rule_bounds.hockey_limit",
    "gsi_theory.claims.sides_race.rule_limit": "gsi_theory.claims.rule_bounds.rule_limit",
    "gsi_theory.claims.sides_selection.channel": "gsi_theory.claims.importance_bounds.channel",
    "gsi_theory.claims.sides_selection.drift": "gsi_theory.claims.drift_bounds.drift",
    "gsi_theory.claims.sides_selection.importance_bias": "gsi_theory.claims.importance_bounds.importance_bias",
    "gsi_theory.claims.sides_selection.poisson_drafts": "gsi_theory.claims.poisson_bounds.poisson_drafts",
    "gsi_theory.claims.sides_selection.reward_pinsker": "gsi_theory.claims.softmax_bounds.reward_pinsker",
    "gsi_theory.claims.sides_selection.reward_share": "gsi_theory.claims.softmax_bounds.reward_share",
    "gsi_theory.claims.sides_selection.tv_pinsker": "gsi_theory.claims.softmax_bounds.tv_pinsker",
    "gsi_theory.claims.sides_selection.tv_pointwise": "gsi_theory.claims.softmax_bounds.tv_pointwise",
    "gsi_theory.certified.law.race_excess": "gsi_theory.rules.race_balls.race_excess",
    "gsi_theory.certified.law.race_score_balls": "gsi_theory.rules.race_balls.race_score_balls",
    "gsi_theory.subsets.max.max_curve": "gsi_theory.rules.max.subset_means",
    "gsi_theory.subsets.max.max_parts": "gsi_theory.rules.max.subset_parts",
}


def new_place(name: str) -> str | None:
    """Where module `name` is now; None if it did not move."""
    head, tail = name, ""
    while head:
        if head in MOVED:
            return MOVED[head] + tail
        head, _, last = head.rpartition(".")
        tail = f".{last}{tail}"
    return None


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is now {new}; the old name goes with release {GONE}", DeprecationWarning, 3)


def moved_names(module: str) -> Callable[[str], object]:
    """The `__getattr__` of `module`: answers names of `MOVED_NAMES` that it held; AttributeError for others."""

    def answer(name: str) -> object:
        new = MOVED_NAMES.get(f"{module}.{name}")
        if new is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        _warn(f"{module}.{name}", new)
        place, _, attribute = new.rpartition(".")
        return getattr(importlib.import_module(place), attribute)

    return answer


class _OldPlace(ModuleType):
    """A moved module under its old name: the names that it holds now, and those of `MOVED_NAMES`."""

    def __getattr__(self, name: str) -> object:
        if f"{self.__name__}.{name}" in MOVED_NAMES:
            return moved_names(self.__name__)(name)
        return getattr(importlib.import_module(str(new_place(self.__name__))), name)

    def __call__(self, *arguments: object, **options: object) -> object:
        """Where a package exports a function of a name that a module had, that function: importing the module under
        its old name puts the module in the function's place."""
        package, _, name = self.__name__.rpartition(".")
        return importlib.import_module(package).__getattr__(name)(*arguments, **options)


class _Moved(MetaPathFinder, Loader):
    """Finds a module under its old name and gives it the names of the module at its new place."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        place = new_place(fullname)
        spec = importlib.util.find_spec(place) if place else None
        return spec and ModuleSpec(fullname, self, is_package=spec.submodule_search_locations is not None)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        _warn(spec.name, str(new_place(spec.name)))
        return _OldPlace(spec.name, importlib.import_module(str(new_place(spec.name))).__doc__)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: the module ran when it was imported under its new name."""

    def get_code(self, fullname: str) -> CodeType | None:
        """The code that `python -m OLD` runs."""
        spec = importlib.util.find_spec(str(new_place(fullname)))
        getter = getattr(spec.loader, "get_code", None) if spec else None
        return getter(spec.name) if getter and spec else None


if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
    sys.meta_path.insert(0, _Moved())  # first: an old folder's name may hold other modules today
