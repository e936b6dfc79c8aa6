"""Candidates sampled and scored per second: the transformers engine against vLLM, in one run: artifact `vllm_speed`.

    python -m tests.benches.vllm --out FILE [--repeats 7] [--vllm-options enforce_eager=true]
        [--model FOLDER --dtype bfloat16 --threads 2]

A candidate is drawn from the draft with its log-probabilities and scored by the base. Both engines hold the embedded
pair (vLLM's heads widened, which its CPU build needs: same law) and are asked through the same protocol, for one prompt
at n = 16 and 64 and for 16 prompts at once; or the model in FOLDER as draft and as base, at n = 32 of 16 tokens after a
prompt of the task sums. In every repeat the engines take turns cell by cell, and the ratio is
formed within the repeat, so that load on the machine falls on both. Prefixes are encoded anew each time, the seeds
differ, so nothing is timed twice. Run it where `make test-vllm` put vLLM. Times are not reproducible: this artifact's
bytes differ from run to run.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import provenance, write_artifact
from llm_check.models.collecting.collect import positions
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.random_streams import Purpose
from llm_check.models.decoding.reasoning_steps import StepRule, parse_step_rule, step_rule
from llm_check.models.engines.engine import Engine
from llm_check.models.engines.load_engine import load_engine
from llm_check.models.tasks.arithmetic import make_problems
from llm_check.models.tasks.load_task import load_task
from llm_check.models.tiny import STEP_MAX_TOKENS, checkpoint_path, step_delimiter
from llm_check.models.tiny.widen import widen_checkpoint

__all__ = ["CELLS", "candidates_per_second", "main"]

# (prompts at once, candidates of each)
CELLS = ((1, 16), (1, 64), (16, 16), (16, 64))
REAL_CELLS = ((1, 32),)
REAL_TOKENS = 16
Pair = tuple[Engine, Engine]


def candidates_per_second(pair: Pair, places: list[Position], n: int, rule: StepRule, seed: int) -> float:
    """n candidates at each place drawn from the first engine and scored by the second, over the seconds it took."""
    draft, base = pair
    began = time.perf_counter()
    ids = [place.prefix for place in places]
    steps = draft.sample(draft.prefill(ids), n, [place.stream(seed, Purpose.DRAFT) for place in places], rule)
    logp = base.score(base.prefill(ids), steps.tokens).sum(axis=-1)
    seconds = time.perf_counter() - began
    assert np.isfinite(logp).all() and logp.shape == (len(places), n)
    return len(places) * n / seconds


def _engines(folder: Path, options: str, model: Path | None, dtype: str) -> dict[str, Pair]:
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    pairs: dict[str, Pair] = {}
    for kind in ("transformers", "vllm"):
        found = []
        for name in ("draft", "base"):
            path = model or checkpoint_path(name)
            if kind == "vllm" and model is None:
                path = widen_checkpoint(path, folder / name)
            spec = f"{kind}:{path}" + (f"?{options}" if kind == "vllm" and options else "")
            found.append(load_engine(spec, dtype=dtype))
        pairs[kind] = (found[0], found[1])
    return pairs


def _measure(pairs: dict[str, Pair], repeats: int, seed: int, real: bool) -> dict[str, list[float]]:
    """A row for each repeat and cell, after one repeat that warms up."""
    tokenizer = pairs["transformers"][0].tokenizer
    if real:
        task = load_task("sums", limit=repeats + 1, seed=seed)
        places = [Position(prompt) for prompt in task.prompts(tokenizer, task.template)]
        rule = parse_step_rule(f"tokens:{REAL_TOKENS}", tokenizer)
    else:
        rule = step_rule(tokenizer, step_delimiter(), STEP_MAX_TOKENS)
        places = positions(make_problems(16, seed, "test"), tokenizer)
    rows: dict[str, list[float]] = {"repeat": [], "prompts": [], "n": [], **{kind: [] for kind in pairs}}
    for repeat in range(repeats + 1):
        for prompts, n in REAL_CELLS if real else CELLS:
            # One prompt at a time is another prompt in every repeat.
            part = places if prompts > 1 else [places[repeat % len(places)]]
            speed = {k: candidates_per_second(p, part, n, rule, seed + 1000 * repeat) for k, p in pairs.items()}
            if repeat:
                for key, value in {"repeat": repeat, "prompts": prompts, "n": n, **speed}.items():
                    rows[key].append(value)
    return rows


def _summary(rows: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """For each cell the medians, and median, least and largest ratio of ours over vLLM's."""
    table = {key: np.array(values) for key, values in rows.items()}
    ratio = table["transformers"] / table["vllm"]
    found = {}
    for prompts, n in sorted(set(zip(rows["prompts"], rows["n"], strict=True))):
        at = (table["prompts"] == prompts) & (table["n"] == n)
        found[f"{prompts} x {n}"] = {
            "ours_per_second": float(np.median(table["transformers"][at])),
            "vllm_per_second": float(np.median(table["vllm"][at])),
            "ratio_median": float(np.median(ratio[at])),
            "ratio_low": float(ratio[at].min()),
            "ratio_high": float(ratio[at].max()),
        }
    return found


def main(argv: list[str] | None = None) -> None:
    """Run, write the artifact, print the cells."""
    parser = argparse.ArgumentParser(prog="python -m tests.benches.vllm", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vllm-options", default="", help="options of vllm.LLM, such as enforce_eager=true")
    parser.add_argument("--model", type=Path, help="a checkpoint folder, in place of the embedded pair")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=1, help="of torch, for the transformers engine")
    chosen = parser.parse_args(argv)
    torch.set_num_threads(chosen.threads)
    try:
        with tempfile.TemporaryDirectory() as folder:
            pairs = _engines(Path(folder), chosen.vllm_options, chosen.model, chosen.dtype)
            rows = _measure(pairs, chosen.repeats, chosen.seed, chosen.model is not None)
        cells = _summary(rows)
        contract = pairs["vllm"][0].contract
        summary = {"cells": cells, "vllm": contract.engine_version, "options": chosen.vllm_options}
        summary |= {"model": contract.model, "dtype": contract.dtype, "threads": chosen.threads}
        given = {
            "model": chosen.model,
            "dtype": chosen.dtype,
            "threads": chosen.threads,
            "vllm-options": chosen.vllm_options,
        }
        command = f"python -m tests.benches.vllm --repeats {chosen.repeats} --seed {chosen.seed}"
        command += "".join(f" --{name} {value}" for name, value in given.items() if value)
        path = write_artifact(chosen.out, "vllm_speed", provenance(command, chosen.seed), summary, {"repeats": rows})
    except InputError as error:
        sys.exit(f"error: {error}")
    for cell, values in cells.items():
        print(f"{cell:>8}: " + "  ".join(f"{name} {value:.4g}" for name, value in values.items()))
    print(path)


if __name__ == "__main__":
    main()
