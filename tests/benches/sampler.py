"""Speed of the GSI sampler against the bare cost of its random numbers: n = 16, K = 10³, measured in pairs in one run.

    python -m tests.benches.sampler [--pairs 9] [--draws 200000]

Bare: numpy's Generator makes the uniforms and exponentials that the drafts need, in the same chunks, and one gather
looks a weight up for each. Torch is shown on the CPU and, where there is one, on CUDA.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import typer

from gsi_theory.instance import Scheme
from sims.instance_families import passing_threshold
from sims.sampling.generators import NumpyStream, Stream, TorchStream
from sims.sampling.sampler import sample_scheme
from sims.worlds import KnobWorld, world_instance
from tests.benches.laws import ratio, seconds

BETA, N = 5.0, 16


def main(pairs: Annotated[int, typer.Option(min=1)] = 9, draws: Annotated[int, typer.Option(min=1)] = 200_000) -> None:
    """Median ratio with quartiles, and draws a second, for each backend with and without the gate."""
    instance = world_instance(KnobWorld(30.0, size=1000), [0])
    rng = np.random.default_rng(0)
    weight, rows = rng.random(instance.size), NumpyStream.chunk // N

    def bare() -> None:
        for start in range(0, draws, rows):
            shape = (min(rows, draws - start), N)
            place = rng.random(shape)
            rng.standard_exponential(shape)
            weight[(place * instance.size).astype(np.int64)]

    streams: dict[str, Stream] = {"numpy": NumpyStream(rng)}
    if importlib.util.find_spec("torch") is not None:
        import torch

        streams |= {device: TorchStream(0, device) for device in ("cpu", "cuda")[: 1 + torch.cuda.is_available()]}
    for name, stream in streams.items():
        for gate, threshold in (("no gate", None), ("gate", passing_threshold(instance, BETA))):
            play = _player(instance, Scheme(BETA, N, threshold), draws, stream)
            middle, low, high = ratio(play, bare, pairs)
            rate = draws / min(seconds(play) for _ in range(3))
            bar = "  bar 5" if name == "numpy" else ""
            print(f"{name:<6} {gate:<8} {middle:6.2f}  [{low:.2f}, {high:.2f}]{bar}   {rate:,.0f} draws/s", flush=True)


def _player(instance: Any, scheme: Scheme, draws: int, stream: Stream) -> Callable[[], object]:
    def play() -> object:
        outcome, accepted = sample_scheme(instance, scheme, draws, stream)
        # reading one number waits for a CUDA device
        return float(outcome[0]), float(accepted[0])

    return play


if __name__ == "__main__":
    typer.run(main)
