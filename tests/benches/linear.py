"""A linear layer of few rows, by torch's own way and turned over (`llm_check.models.engines.linear`): seconds by rows.

    python -m tests.benches.linear [--threads 2] [--inputs 576] [--outputs 3072]

In turns, over copies of the weights that no cache holds together; ratio of torch's own time over ours, median and range
over repeats.
"""

from __future__ import annotations

import time
from itertools import cycle

import numpy as np
import torch
import torch.nn.functional as F
import typer

from llm_check.models.engines.linear import linear

ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
REPEATS, CALLS = 9, 30


def main(threads: int = 2, inputs: int = 576, outputs: int = 3072) -> None:
    """Print a line for each number of rows, in float32."""
    torch.set_num_threads(threads)
    weights = [torch.randn(outputs, inputs) for _ in range(30)]
    for rows in ROWS:
        x, ratios, least = torch.randn(rows, inputs), [], np.inf
        for _ in range(REPEATS):
            taken = []
            for way in (F.linear, linear):
                turn = cycle(weights)
                began = time.perf_counter()
                with torch.inference_mode():
                    for _ in range(CALLS):
                        way(x, next(turn), None)
                taken.append((time.perf_counter() - began) / CALLS)
            ratios.append(taken[0] / taken[1])
            least = min(least, taken[1])
        spread = f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{rows:>4} rows: {1e6 * least:7.0f} µs, torch's own way {spread} times as long")


if __name__ == "__main__":
    typer.run(main)
