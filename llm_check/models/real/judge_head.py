"""How well a reward ranks answers of the real base to problems it never saw:
``python -m llm_check.models.real.judge_head [--reward learned] [--seed 1] [--out FILE.json]``.

Base answers to problems of the test splits are drawn, graded, and judged through the ordinary reward loader: AUC over
all answers and within problems (`llm_check.models.real.ranking`) for whole answers and their beginnings, task by task;
and the accuracy of best-of-n by the reward beside an oracle's, which shows where more candidates begin to do harm.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from gsi_theory.errors import InputError
from gsi_theory.runs.journal import Journal, journal_path
from gsi_theory.runs.json_output import answer
from gsi_theory.runs.output import atomic_write_text, require_writable
from gsi_theory.types import Record
from llm_check.models.engines.checkpoint import load_tokenizer
from llm_check.models.model_options import quiet_engines
from llm_check.models.real.drawn_answers import DrawnAnswer, draw_tasks
from llm_check.models.real.ranking import best_of_n, ranking
from llm_check.models.real.train_head import BASE, TASKS
from llm_check.models.rewards.load_reward import load_reward
from llm_check.models.rewards.reward_model import RewardModel, reward_record
from llm_check.models.rewards.state_head import base_folder
from llm_check.models.tasks.load_task import load_task

__all__ = ["SHARES", "JudgeRun", "judged", "main"]

SHARES = (1.0, 0.5, 0.25)
_NS = (1, 2, 4, 8, 16, 32, 60)


@dataclass(frozen=True)
class JudgeRun:
    """problems of each task, answers to each problem, seed, dtype of the base as it answers."""

    problems: int
    answers: int
    seed: int
    dtype: str


def judged(reward: RewardModel, answers: Sequence[DrawnAnswer], ns: Sequence[int]) -> Record:
    """Rankings by share of the answer that is read, and best-of-n by whole answers, of each task and of "all"."""
    task = np.array([answer.task for answer in answers])
    names = [answer.prompt.prompt_id for answer in answers]
    problem = np.unique(names, return_inverse=True)[1]
    right = np.array([answer.right for answer in answers])
    scores = {}
    for share in SHARES:
        places, steps = zip(*(answer.share(share) for answer in answers), strict=True)
        scores[share] = reward.score(places, steps)
    parts = {name: task == name for name in dict.fromkeys(task.tolist())} | {"all": np.ones(len(task), dtype=bool)}
    return {
        name: {
            "accuracy": float(right[own].mean()),
            "ranking": {f"{share:g}": asdict(ranking(s[own], right[own], problem[own])) for share, s in scores.items()},
            "best_of_n": asdict(best_of_n(scores[1.0][own], right[own], problem[own], ns)),
        }
        for name, own in parts.items()
    }


def _printed(table: Record) -> str:
    lines = []
    for name, part in table.items():
        lines.append(f"{name}: {part['accuracy']:.3f} right")
        for share, r in part["ranking"].items():
            lines.append(
                f"  AUC, read {share:>4} of the answer: {r['overall']:.3f} ± {r['overall_error']:.3f} over all, "
                f"{r['within']:.3f} ± {r['within_error']:.3f} within {r['mixed']} of {r['problems']} problems"
            )
        best = part["best_of_n"]
        for i, n in enumerate(best["ns"]):
            lines.append(
                f"  best of {n:>2}: {best['accuracy'][i]:.3f} ± {best['accuracy_error'][i]:.3f}, oracle "
                f"{best['oracle'][i]:.3f} ± {best['oracle_error'][i]:.3f}; less best of {best['reference']}: "
                f"{best['change'][i]:+.3f} ± {best['change_error'][i]:.3f}"
            )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Draw, judge, print, write; an interrupted run with --out goes on where it stopped. InputError for numbers out of
    range, a reward that cannot be loaded, or where smollm2 is not ready."""
    parser = argparse.ArgumentParser(
        prog="python -m llm_check.models.real.judge_head", description="How well a reward ranks smollm2's answers."
    )
    parser.add_argument("--reward", default="learned", help="as in gsi decode --reward")
    parser.add_argument("--tasks", default=",".join(TASKS), help="with commas")
    parser.add_argument("--problems", type=int, default=15, help="of each task")
    parser.add_argument("--answers", type=int, default=60, help="to each problem")
    parser.add_argument("--seed", type=int, default=1, help="seed of problems and answers")
    parser.add_argument("--dtype", default="bfloat16", help="of the base as it answers")
    parser.add_argument("--out", type=Path, help="a JSON file of all numbers")
    options = parser.parse_args(arguments)
    if options.problems < 2 or options.answers < 4:
        raise InputError(f"{options.problems} problems, {options.answers} answers: give at least 2 and 4")
    run = JudgeRun(options.problems, options.answers, options.seed, options.dtype)
    if options.out is not None:
        require_writable(options.out)
    torch.set_num_threads(1)
    quiet_engines()
    tasks = [load_task(name, limit=run.problems, seed=run.seed) for name in options.tasks.split(",")]
    reward = load_reward(options.reward, load_tokenizer(base_folder(BASE)))
    journal = Journal(None if options.out is None else journal_path(options.out), asdict(run), replace=True)
    answers = draw_tasks(BASE, tasks, run.answers, run.seed, journal, run.dtype)
    print(f"judging {len(answers)} answers and their beginnings", file=sys.stderr)
    table = judged(reward, answers, [n for n in _NS if n <= run.answers])
    print(_printed(table))
    if options.out is not None:
        record = {"base": BASE, "reward": reward_record(reward), **asdict(run), "tasks": table}
        atomic_write_text(options.out, answer("training", record, indent=1) + "\n")
        journal.delete()


if __name__ == "__main__":
    main()
