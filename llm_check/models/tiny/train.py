"""Train the three checkpoints of the embedded world: ``python -m llm_check.models.tiny.train --seed 0 [--out DIR]``.

Draft and base are Qwen3ForCausalLM in float32 (2 layers x 64 and 3 x 96 hidden units), trained from random weights on
written solutions of the training split, loss on the solution's tokens. The texts are deliberately imperfect: a share
`wrong` of the steps holds a wrong result (half of them near misses, half uniform), after which the text goes on from
the wrong or from the true value with equal chance, and a share `TYPO` of the tokens is replaced by any other token.
Clean texts would teach the draft to give some right steps a probability near zero, and chi2(base, draft) of the next
step, which every guarantee rests on, would be astronomically large (1e25 in a trial). The process reward model is a
Qwen3ForTokenClassification (3 x 64) trained in `llm_check.models.tiny.train_prm` on steps that the two sample, labeled
by the checker.

Qwen3 and not Qwen2, because transformers 5 loads every Qwen2 checkpoint with its own byte-level tokenizer, whatever
tokenizer the folder names. Same seed, same streams of problems, texts, samples and initial weights; the trained
weights themselves are reproducible only up to the BLAS, the number of threads and the torch version in use.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from gsi_theory.errors import InputError
from gsi_theory.runs.json_output import with_schema
from gsi_theory.runs.output import atomic_write_files
from gsi_theory.types import Record
from llm_check.models.tasks.arithmetic import ArithmeticProblem, is_correct, make_problems
from llm_check.models.tiny.tokenizer import BLANK_ID, BOX_ID, EOS_ID, PAD_ID, VOCABULARY, build_tokenizer
from llm_check.models.tiny.train_prm import (
    IGNORED,
    PRM_STEPS,
    descend,
    fit_prm,
    prm_auc,
    sample_solutions,
    solution_text,
)

__all__ = ["RECIPES", "Corpus", "Recipe", "initial_model", "main", "save_checkpoint", "train_policy"]

TRAIN_PROBLEMS = 60_000
EVALUATION_PROBLEMS = 2_000
TYPO = 0.004


@dataclass(frozen=True)
class Recipe:
    """Shape and schedule of one policy; `wrong` is the share of training steps with a wrong result."""

    layers: int
    hidden: int
    steps: int
    wrong: float
    batch: int = 256
    learning_rate: float = 3e-3


RECIPES = {"draft": Recipe(2, 64, 900, 0.06), "base": Recipe(3, 96, 900, 0.015)}


def initial_model(recipe: Recipe, seed: int) -> Qwen3ForCausalLM:
    """The untrained policy of this shape; the caller's torch generator is left as it was."""
    config = Qwen3Config(
        vocab_size=len(VOCABULARY),
        hidden_size=recipe.hidden,
        intermediate_size=2 * recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=recipe.hidden // 4,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        initializer_range=0.05,
        pad_token_id=PAD_ID,
        bos_token_id=None,
        eos_token_id=EOS_ID,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(config)


class Corpus:
    """Written solutions of a list of problems, with the mistakes described in the module's docstring.

    `prompt` (P, 9) holds token ids, -1 where a one-digit first number leaves a place empty; `values` (P, 4) holds
    the first number and the three running values.
    """

    def __init__(self, problems: list[ArithmeticProblem]) -> None:
        encoded = build_tokenizer()([problem.prompt for problem in problems])["input_ids"]
        width = max(map(len, encoded))
        self.prompt = np.array([[-1] * (width - len(ids)) + ids for ids in encoded])
        firsts = [int(problem.text.replace("-", "+").split("+")[0]) for problem in problems]
        self.values = np.array([(first, *p.values) for first, p in zip(firsts, problems, strict=True)])

    def _written(self, rows: np.ndarray, wrong: float, rng: np.random.Generator) -> np.ndarray:
        """The numbers a solution writes, (B, 4): three running values and the boxed answer, some of them wrong."""
        true = self.values[rows]
        size = len(rows)
        last, written = true[:, 0], []
        for step in range(4):
            term = true[:, step + 1] - true[:, step] if step < 3 else 0
            start = np.where(rng.random(size) < 0.5, last, true[:, min(step, 3)])
            near = start + term + rng.choice([-10, -2, -1, 1, 2, 10], size)
            slip = np.where(rng.random(size) < 0.5, near, rng.integers(0, 100, size))
            last = np.clip(np.where(rng.random(size) < wrong, slip, start + term), 0, 99)
            written.append(last)
        return np.stack(written, axis=1)

    def batch(self, size: int, wrong: float, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and labels, both (size, length): right-padded, labels IGNORED on the prompt and after the end."""
        rows = rng.integers(0, len(self.prompt), size)
        written = self._written(rows, wrong, rng)
        tens = np.where(written >= 10, written // 10 + 1, -1)  # the digit d has token id d + 1
        ones = written % 10 + 1
        end = np.full_like(ones[:, :1], BLANK_ID)
        parts = [np.concatenate([tens[:, i : i + 1], ones[:, i : i + 1], end], axis=1) for i in range(3)]
        box = np.stack([np.full(size, BOX_ID), tens[:, 3], ones[:, 3], np.full(size, EOS_ID)], axis=1)
        solution = np.concatenate([*parts, box], axis=1)
        typo = (rng.random(solution.shape) < TYPO) & (solution >= 0)
        solution = np.where(typo, rng.integers(1, len(VOCABULARY), solution.shape), solution)
        ended = np.cumsum(solution == EOS_ID, axis=1) - (solution == EOS_ID) > 0
        labels = np.where(ended, IGNORED, solution)
        ids = np.concatenate([self.prompt[rows], solution], axis=1)
        labels = np.concatenate([np.full_like(self.prompt[rows], IGNORED), labels], axis=1)
        order = np.argsort(ids < 0, axis=1, kind="stable")
        ids, labels = np.take_along_axis(ids, order, 1), np.take_along_axis(labels, order, 1)
        labels = np.where(ids < 0, IGNORED, labels)
        return torch.from_numpy(np.where(ids < 0, PAD_ID, ids)), torch.from_numpy(labels)


def train_policy(name: str, seed: int, steps: int | None = None) -> Qwen3ForCausalLM:
    """Train the draft or the base on the training split; progress lines as `descend`."""
    recipe, stream = RECIPES[name], sorted(RECIPES).index(name)
    steps = recipe.steps if steps is None else steps
    corpus = Corpus(make_problems(TRAIN_PROBLEMS, seed, "train"))
    rng = np.random.default_rng([seed, stream])
    model = initial_model(recipe, seed).train()

    def loss() -> torch.Tensor:
        ids, labels = corpus.batch(recipe.batch, recipe.wrong, rng)
        logits = model(input_ids=ids, use_cache=False).logits
        return torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED
        )

    return descend(model, name, loss, steps, recipe.learning_rate)


def policy_accuracy(model: Qwen3ForCausalLM, seed: int, count: int = EVALUATION_PROBLEMS) -> dict[str, float]:
    """Share of right final answers on test problems, sampled at temperature 1 and greedy."""
    problems = make_problems(count, seed, "test")
    shares = {}
    for kind, temperature in (("sampled_accuracy", 1.0), ("greedy_accuracy", 0.0)):
        solutions = sample_solutions(model, problems, np.random.default_rng([seed, 7]), temperature)
        right = [is_correct(p, solution_text(s)) for p, s in zip(problems, solutions, strict=True)]
        shares[kind] = float(np.mean(right))
    return shares


def save_checkpoint(folder: Path, model: PreTrainedModel, record: Record) -> None:
    """Write model, tokenizer and training.json (`record` and the versions) into a folder.

    Every file is staged before the first takes its place, so an interrupted run leaves the old checkpoint whole.
    """
    versions = {package: metadata.version(package) for package in ("numpy", "tokenizers", "torch", "transformers")}
    with tempfile.TemporaryDirectory() as place:
        temporary = Path(place)
        model.save_pretrained(temporary)
        build_tokenizer().save_pretrained(temporary)
        record = {**record, "parameters": sum(p.numel() for p in model.parameters()), "versions": versions}
        text = json.dumps(with_schema("training", record), indent=1, sort_keys=True) + "\n"
        (temporary / "training.json").write_text(text, encoding="utf-8")
        atomic_write_files({folder / file.name: file.read_bytes() for file in sorted(temporary.iterdir())})


def _policy_job(name: str, seed: int, out: str) -> None:
    torch.set_num_threads(1)
    model = train_policy(name, seed)
    record = {
        "seed": seed,
        "command": _command(seed),
        "steps": RECIPES[name].steps,
        "wrong": RECIPES[name].wrong,
        "batch": RECIPES[name].batch,
        "evaluation_problems": EVALUATION_PROBLEMS,
    }
    save_checkpoint(Path(out) / name, model, record | policy_accuracy(model, seed))


def _command(seed: int) -> str:
    return f"python -m llm_check.models.tiny.train --seed {seed}"


def main(arguments: list[str] | None = None) -> None:
    """Train draft and base side by side, one thread each, then the process reward model; a few minutes in all.

    Raises InputError for a negative seed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m llm_check.models.tiny.train", description="Train the embedded world."
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of problems, texts, samples and initial weights")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "checkpoints")
    parser.add_argument("--prm-only", action="store_true", help="keep draft and base, train the reward model")
    options = parser.parse_args(arguments)
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: use an integer of at least 0")
    if not options.prm_only:
        context = multiprocessing.get_context("spawn")
        jobs = [context.Process(target=_policy_job, args=(name, options.seed, str(options.out))) for name in RECIPES]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        if any(job.exitcode for job in jobs):
            raise SystemExit("training of a policy failed: see the message above")
    torch.set_num_threads(1)
    draft, base = (Qwen3ForCausalLM.from_pretrained(options.out / name).eval() for name in RECIPES)
    prm = fit_prm(draft, base, options.seed)
    record = {
        "seed": options.seed,
        "command": _command(options.seed),
        "steps": PRM_STEPS,
        "evaluation_problems": EVALUATION_PROBLEMS,
    }
    save_checkpoint(options.out / "prm", prm, record | prm_auc(prm, draft, options.seed, EVALUATION_PROBLEMS))


if __name__ == "__main__":
    main()
