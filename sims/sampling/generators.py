"""Random streams in NumPy or torch: the same samplers run on both, torch on CPU or CUDA.

A stream gives float64 uniforms in [0, 1), standard exponentials, Poisson numbers, and moves constants into its own
namespace and device. NumPy and torch streams of one seed are different streams. torch is imported when asked for.
"""

from __future__ import annotations

import importlib.util
from typing import Protocol

import array_api_compat.numpy as xnp
import numpy as np

from gsi_theory.errors import InputError
from gsi_theory.types import Array, Namespace

__all__ = ["NumpyStream", "Stream", "TorchStream", "as_stream"]

Shape = tuple[int, ...]


class Stream(Protocol):
    """What samplers draw from; `chunk`: how many candidates are best held at once."""

    xp: Namespace
    chunk: int

    def uniform(self, shape: Shape) -> Array:
        """Uniform on [0, 1)."""

    def exponential(self, shape: Shape) -> Array:
        """Exp(1)."""

    def poisson(self, mean: float, size: int) -> Array:
        """Poisson numbers (size,), int64."""

    def table(self, values: Array) -> Array:
        """A NumPy constant as an array of this stream's kind."""


class NumpyStream:
    """A stream over numpy.random.Generator."""

    xp: Namespace = xnp
    # 64 K candidates stay in the cache of one core
    chunk = 1 << 16

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def uniform(self, shape: Shape) -> Array:
        return self.rng.random(shape)

    def exponential(self, shape: Shape) -> Array:
        return self.rng.standard_exponential(shape)

    def poisson(self, mean: float, size: int) -> Array:
        return self.rng.poisson(mean, size)

    def table(self, values: Array) -> Array:
        return np.asarray(values)


class TorchStream:
    """A stream over torch.Generator on `device`, seeded with `seed`. InputError where either is missing."""

    def __init__(self, seed: int, device: str = "cpu") -> None:
        if importlib.util.find_spec("torch") is None:
            raise InputError("a torch stream needs torch: pip install 'gsi-theory[llm]', or sample with numpy")
        import array_api_compat.torch as xtorch
        import torch

        if device != "cpu" and not torch.cuda.is_available():
            raise InputError(f"no {device} device on this machine: sample with torch on the CPU, or with numpy")
        self.xp: Namespace = xtorch
        self.torch, self.device = torch, device
        self.generator = torch.Generator(device=device)
        self.generator.manual_seed(seed)
        self.chunk = 1 << 16 if device == "cpu" else 1 << 24

    def uniform(self, shape: Shape) -> Array:
        return self.torch.rand(shape, generator=self.generator, dtype=self.torch.float64, device=self.device)

    def exponential(self, shape: Shape) -> Array:
        empty = self.torch.empty(shape, dtype=self.torch.float64, device=self.device)
        return empty.exponential_(generator=self.generator)

    def poisson(self, mean: float, size: int) -> Array:
        rate = self.torch.full((size,), float(mean), dtype=self.torch.float64, device=self.device)
        return self.torch.poisson(rate, generator=self.generator).to(self.torch.int64)

    def table(self, values: Array) -> Array:
        return self.torch.as_tensor(np.array(values), device=self.device)


def as_stream(source: np.random.Generator | Stream) -> Stream:
    """A NumPy generator as a stream; a stream as it is."""
    return NumpyStream(source) if isinstance(source, np.random.Generator) else source
