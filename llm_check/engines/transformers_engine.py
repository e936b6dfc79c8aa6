"""The transformers engine: one prefix cache shared by all candidates of a step (contract: `engines.contract`).

A `PrefixCache` of B prompts is made once by `prefill`, kept from step to step by `extend`, reduced by `select`, and
shared by all candidates of a step. `sample` and `score` encode only distinct partial steps: the cost of n candidates
is that of the trie they span. Shapes: B prompts, n candidates, T tokens (see `llm_check.steps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from gsi_theory.errors import InputError
from llm_check.engines.contract import LogProbContract
from llm_check.engines.prefix_cache import (
    PrefixCache,
    choose_tokens,
    descend,
    empty_cache,
    gather_rows,
    grow,
    score_rows,
)
from llm_check.steps import PAD, StepRule, Steps, finish_reasons, pad_steps
from llm_check.streams import Stream

__all__ = ["PrefixCache", "TransformersEngine"]

MAX_ROWS = 4096


def _require_checkpoint(path: Path) -> None:
    if not path.is_dir():
        raise InputError(f"no model folder at {path}: give a folder with config.json and *.safetensors (hf download)")
    if not (path / "config.json").is_file():
        raise InputError(f"{path} has no config.json: it is not a transformers checkpoint, give its folder")
    if not any(path.glob("*.safetensors")):
        raise InputError(f"{path} has no *.safetensors weights: convert them (save_pretrained writes safetensors)")


def _padded(sequences: Sequence[Sequence[int]], place: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Left-padded ids (B, T) and the mask of real tokens; the padding id is 0 and never attended to."""
    if not sequences:
        raise InputError(f"{place} got no token sequences: give at least one")
    lengths = np.array([len(s) for s in sequences])
    if (lengths == 0).any():
        raise InputError(f"{place}: sequence {int(np.argmin(lengths))} is empty, give at least one token")
    width = int(lengths.max())
    ids = np.zeros((len(sequences), width), dtype=np.int64)
    for row, sequence in zip(ids, sequences, strict=True):
        row[width - len(sequence) :] = sequence
    return ids, np.arange(width) >= width - lengths[:, None]


@dataclass(frozen=True)
class TransformersEngine:
    """A causal language model of transformers behind the contract above. Build it with `load` or from a model."""

    model: Any
    tokenizer: Any
    contract: LogProbContract

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu", dtype: str = "float32") -> TransformersEngine:
        """Load a checkpoint folder: safetensors only, no remote code, evaluation mode.

        Raises InputError (path and cure named) for a missing folder, config or weights, or an unknown dtype.
        """
        path = Path(path)
        _require_checkpoint(path)
        kind = getattr(torch, dtype, None)
        if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
            raise InputError(f"dtype {dtype!r} is no floating-point dtype of torch: use float32, bfloat16 or float64")
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(
                path,
                dtype=kind,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                attn_implementation="sdpa",
            )
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"cannot load the model at {path} ({reason}): give a causal-LM checkpoint") from error
        name = "/".join(path.resolve().parts[-2:])
        return cls.from_model(model.to(device), tokenizer, name)

    @classmethod
    def from_model(cls, model: Any, tokenizer: Any, name: str) -> TransformersEngine:
        """Wrap a loaded causal language model; raises InputError for sliding-window attention."""
        kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
        if kinds != {"full_attention"}:
            raise InputError(f"{name} has layers {sorted(kinds)}: only full attention can share a cache with holes")
        model.eval().requires_grad_(False)
        dtype = str(model.dtype).removeprefix("torch.")
        return cls(model, tokenizer, LogProbContract("transformers", metadata.version("transformers"), name, dtype))

    @property
    def vocabulary(self) -> int:
        """Number of logits, V."""
        return int(self.model.config.vocab_size)

    @property
    def device(self) -> torch.device:
        """Where the model and its caches are."""
        return torch.device(self.model.device)

    def prefill(self, prefixes: Sequence[Sequence[int]]) -> PrefixCache:
        """Encode prompts of any lengths in one left-padded batch.

        Raises InputError for no prompts, an empty prompt, or an id outside the vocabulary.
        """
        return self._encode(empty_cache(len(prefixes), self.vocabulary, self.device), prefixes, "prefill")

    def extend(self, cache: PrefixCache, steps: Sequence[Sequence[int]]) -> PrefixCache:
        """Encode one more step after each prefix; only the new tokens are computed. Errors as `prefill`."""
        if len(steps) != cache.rows:
            raise InputError(f"extend got {len(steps)} steps for {cache.rows} prefixes: give one step for each")
        return self._encode(cache, steps, "extend")

    def select(self, cache: PrefixCache, rows: Sequence[int] | NDArray[np.integer]) -> PrefixCache:
        """Keep the prefixes `rows`, in that order (repeats allowed); the given cache stays as it was."""
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64), device=self.device)
        return gather_rows(cache, index, compact=True)

    def sample(
        self, cache: PrefixCache, n: int, streams: Sequence[Stream], rule: StepRule, max_rows: int = MAX_ROWS
    ) -> Steps:
        """n iid steps for each prefix by inverse CDF: token t of candidate i of prompt b uses number (i, t) of
        `streams[b]`'s uniforms.

        Forwards hold at most `max_rows` partial steps. Raises InputError unless there is one stream for each prefix.
        """
        if len(streams) != cache.rows or n < 1:
            raise InputError(f"sample got n = {n} and {len(streams)} streams for {cache.rows} prefixes: give one each")
        wanted = (cache.rows, n, rule.max_tokens)
        u = np.concatenate([stream.generator().random(wanted[1:]) for stream in streams])
        tokens = np.full(u.shape, PAD, dtype=np.int32)
        token_logp = np.zeros(u.shape)

        def choose(
            depth: int, candidates: NDArray[np.int64], node: NDArray[np.int64], log_probs: Tensor
        ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
            drawn, logp = choose_tokens(log_probs, node, u[candidates, depth])
            tokens[candidates, depth] = drawn
            token_logp[candidates, depth] = logp
            return drawn, ~np.isin(drawn, rule.closing_ids) & (depth + 1 < rule.max_tokens)

        descend(self.model, cache, np.repeat(np.arange(cache.rows), n), choose, max_rows)
        shaped = tokens.reshape(wanted)
        return Steps(shaped, token_logp.reshape(wanted), finish_reasons(shaped, rule))

    def score(
        self,
        cache: PrefixCache,
        steps: Sequence[Sequence[Sequence[int]]] | NDArray[np.integer],
        max_rows: int = MAX_ROWS,
    ) -> NDArray[np.float64]:
        """Token log-probabilities (B, n, T) of given steps (nested lists, or an array padded with PAD), nats.

        One forward of the step tokens over the shared cache; equal steps of a prompt are scored once. Padding holds
        0.0, so `.sum(-1)` is the log-probability of the step. Raises InputError for an id outside the vocabulary.
        """
        tokens = pad_steps(steps)
        if tokens.ndim != 3 or tokens.shape[0] != cache.rows:
            raise InputError(f"score got steps of shape {tokens.shape} for {cache.rows} prefixes: give (B, n, T)")
        self._require_ids(tokens, "score")
        self._require_room(int(cache.lengths.max()) + tokens.shape[2], "score")
        result = np.zeros(tokens.shape)
        if not tokens.size:
            return result
        rows = np.repeat(np.arange(cache.rows), tokens.shape[1])
        flat = np.concatenate([rows[:, None], tokens.reshape(-1, tokens.shape[2])], axis=1)
        distinct, inverse = _distinct_rows(flat)
        length = (distinct[:, 1:] != PAD).sum(axis=1)
        order = np.argsort(length, kind="stable")
        order = order[length[order] > 0]
        scored = np.zeros((len(distinct), tokens.shape[2]))
        for start in range(0, len(order), max_rows):
            part = order[start : start + max_rows]
            width = int(length[part].max())
            scored[part, :width] = self._score_part(cache, distinct[part, 0], distinct[part, 1 : width + 1])
        return scored[inverse].reshape(tokens.shape)

    def _score_part(
        self, cache: PrefixCache, rows: NDArray[np.integer], tokens: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        ids = torch.as_tensor(np.maximum(tokens, 0).astype(np.int64), device=self.device)
        valid = torch.as_tensor(tokens != PAD, device=self.device)
        index = torch.as_tensor(rows.astype(np.int64), device=self.device)
        return score_rows(self.model, cache, index, ids, valid).cpu().numpy()

    def _encode(self, cache: PrefixCache, sequences: Sequence[Sequence[int]], place: str) -> PrefixCache:
        ids, valid = _padded(sequences, place)
        self._require_ids(np.where(valid, ids, 0), place, lowest=0)
        self._require_room(int((cache.lengths.cpu().numpy() + valid.sum(axis=1)).max()), place)
        return grow(
            self.model,
            cache,
            torch.as_tensor(ids, device=self.device),
            torch.as_tensor(valid, device=self.device),
        )

    def _require_room(self, longest: int, place: str) -> None:
        limit = int(self.model.config.max_position_embeddings)
        if longest > limit:
            raise InputError(
                f"{place} got a sequence of {longest} tokens, longer than the context of {limit} of "
                f"{self.contract.model}: shorten the prompt, or take fewer or shorter steps"
            )

    def _require_ids(self, tokens: NDArray[np.integer], place: str, lowest: int = PAD) -> None:
        bad = (tokens >= self.vocabulary) | (tokens < lowest)
        if bad.any():
            raise InputError(
                f"{place} got token id {int(tokens[bad][0])}, outside the {self.vocabulary} ids of "
                f"{self.contract.model}: draft and base need one tokenizer"
            )


def _distinct_rows(rows: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """np.unique over rows with inverse, by one view of each row as a block of bytes (order is of no meaning)."""
    plain = np.ascontiguousarray(rows, dtype=np.int64)
    keys = plain.view([("", np.void, plain.itemsize * plain.shape[1])]).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return plain[first], inverse.ravel()
