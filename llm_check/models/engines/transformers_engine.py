"""The transformers engine: one prefix cache shared by all candidates of a step (contract: `engines.contract`).

`sample` and `score` encode only distinct partial steps: the cost of n candidates is that of the tree they span. A
prefix is encoded together with the first candidates scored after it, and its keys and values exist once whatever n.
Shapes: R prefixes, n candidates, T tokens (see `llm_check.models.decoding.reasoning_steps`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForCausalLM

from gsi_theory.errors import InputError
from gsi_theory.types import Array
from llm_check.models.decoding.random_streams import PositionStream
from llm_check.models.decoding.reasoning_steps import PAD, StepRule, Steps, pad_steps, require_candidates
from llm_check.models.engines.checkpoint import load_checkpoint, revision_of, torch_device, torch_dtype, weights_hash
from llm_check.models.engines.engine import LogProbContract
from llm_check.models.engines.engine_memory import TREE_TOKENS, rows_at_once
from llm_check.models.engines.forward import Forward, forward_of
from llm_check.models.engines.next_token import blocks_of, log_softmax, token_log_probs
from llm_check.models.engines.prefix_cache import PrefixCache, empty_cache, encode, extended, selected
from llm_check.models.engines.step_sampler import sample_steps
from llm_check.models.engines.token_tree import tree_of_steps
from llm_check.models.model_types import Module, Tokenizer
from llm_check.models.real.drafts import quantize
from llm_check.models.real.model_cache import RealName

__all__ = ["PrefixCache", "TransformersEngine", "left_padded"]


def left_padded(sequences: Sequence[Sequence[int]], place: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Ids (R, P) padded at the left with 0, and the mask of real tokens. InputError for none, or an empty one."""
    if not len(sequences):
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

    model: Module
    tokenizer: Tokenizer
    contract: LogProbContract
    forward: Forward

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: str = "cpu",
        dtype: str = "float32",
        temperature: float = 1.0,
        trust_remote_code: bool = False,
        lean: bool = True,
    ) -> TransformersEngine:
        """Load a checkpoint folder: safetensors only; its code is executed only with `trust_remote_code`, and warned
        of. `lean` false keeps to transformers' own forward.

        Raises InputError (path and cure named) for a missing folder, config or weights, weights that do not fill the
        model, an unknown dtype or device, a temperature out of range, or sliding-window attention.
        """
        path = Path(path)
        model, tokenizer = load_checkpoint(AutoModelForCausalLM, path, device, dtype, trust_remote_code)
        name = "/".join(path.resolve().parts[-2:])
        made = cls.from_model(model, tokenizer, name, temperature, lean)
        contract = replace(made.contract, model_hash=weights_hash(path), revision=revision_of(path))
        return replace(made, contract=contract)

    @classmethod
    def load_real(
        cls, named: RealName, device: str = "cpu", dtype: str = "float32", temperature: float = 1.0
    ) -> TransformersEngine:
        """Load a real model as it is, or rounded to a draft: in float32 on the CPU, then moved and cast, so that a
        draft is the same rounding of the same weights in every dtype. Errors as `load`, and where the model is not
        ready or the groups do not fit."""
        folder = named.folder()
        if named.quantization is None:
            made = cls.load(folder, device, dtype, temperature)
            return replace(made, contract=replace(made.contract, model=str(named)))
        kind, place = torch_dtype(dtype), torch_device(device)
        model, tokenizer = load_checkpoint(AutoModelForCausalLM, folder, "cpu", "float32")
        quantize(model, named.quantization, str(named))
        for parameter in model.parameters():  # not the module: its rotary frequencies stay in float32
            parameter.data = parameter.data.to(kind)
        made = cls.from_model(model.to(place), tokenizer, str(named), temperature)
        rounding = str(named.quantization)
        contract = replace(made.contract, model_hash=weights_hash(folder), quantization=rounding)
        return replace(made, contract=contract)

    @classmethod
    def from_model(
        cls, model: Module, tokenizer: Tokenizer, name: str, temperature: float = 1.0, lean: bool = True
    ) -> TransformersEngine:
        """Wrap a loaded causal language model. Raises InputError for sliding-window attention or a temperature that is
        not positive."""
        if not 1e-6 <= temperature <= 1e6:  # NaN is not
            raise InputError(
                f"sampling temperature {temperature}: give a number from 1e-6 to 1e6 (1 is the model's own law)"
            )
        forward = forward_of(model, name, lean)
        dtype = str(model.dtype).removeprefix("torch.")
        version = metadata.version("transformers")
        contract = LogProbContract("transformers", version, name, dtype, float(temperature), forward=forward.way)
        return cls(model, tokenizer, contract, forward)

    @property
    def vocabulary(self) -> int:
        """Number of logits, V."""
        return self.forward.vocabulary

    @property
    def context(self) -> int | None:
        """Tokens that a prompt and its steps may have together."""
        return self.forward.context

    @property
    def device(self) -> torch.device:
        """Where the model and its caches are."""
        return self.forward.device

    def prefill(self, prefixes: Sequence[Sequence[int]]) -> PrefixCache:
        """Take prompts of any lengths; they are encoded when first needed.

        Raises InputError for no prompts, an empty prompt, an id outside the vocabulary, or a prompt longer than the
        context.
        """
        return self._extended(empty_cache(self.forward, len(prefixes)), prefixes, "prefill")

    def extend(self, cache: PrefixCache, steps: Sequence[Sequence[int]]) -> PrefixCache:
        """Take one more step after each prefix; only the new tokens will be computed. Errors as `prefill`."""
        if len(steps) != cache.rows:
            raise InputError(f"extend got {len(steps)} steps for {cache.rows} prefixes: give one step for each")
        return self._extended(cache, steps, "extend")

    def select(self, cache: PrefixCache, rows: Sequence[int] | NDArray[np.integer]) -> PrefixCache:
        """Keep the prefixes `rows`, in that order (repeats allowed); the given cache stays as it was."""
        return selected(cache, np.asarray(rows, dtype=np.int64))

    def log_probs(self, cache: PrefixCache) -> NDArray[np.float64]:
        """The law of the next token: log-probabilities (R, V), nats."""
        logits = cache.logits
        parts = [log_softmax(logits[block], self.contract.sampling_temperature) for block in blocks_of(*logits.shape)]
        return torch.cat(parts).cpu().numpy()

    @torch.inference_mode()
    def log_probs_after(self, cache: PrefixCache, steps: NDArray[np.integer]) -> NDArray[np.float64]:
        """The law of the next token after one prefix and each of M beginnings of a step (M, T), T ≥ 1, unpadded:
        (M, V), nats. Beginnings that share tokens do best side by side."""
        result = np.empty((len(steps), self.vocabulary))
        size = max(1, TREE_TOKENS // steps.shape[1])
        for start in range(0, len(steps), size):
            part = steps[start : start + size]
            # A token more, whatever it is: the node after which it stands is the end of the beginning.
            tree, after = tree_of_steps(np.pad(part, ((0, 0), (0, 1)))[None])
            features = encode(cache, tree.tokens, tree.depth, tree.sees, tree.tokens.shape[1]).flatten(0, 1)
            nodes = _on(after[0, :, -1], self.device)
            for block in blocks_of(len(nodes), self.vocabulary):
                logits = self.forward.logits(features[nodes[block]])
                laws = log_softmax(logits, self.contract.sampling_temperature).cpu().numpy()
                result[start + block.start : start + block.start + len(laws)] = laws
        return result

    def sample(self, cache: PrefixCache, n: int, streams: Sequence[PositionStream], rule: StepRule) -> Steps:
        """n iid steps for each prefix by inverse CDF: token t of candidate i of prompt b uses number (i, t) of
        `streams[b]`'s uniforms.

        Raises InputError unless there is one stream for each prefix, and room for a step in the context and for all in
        memory.
        """
        if len(streams) != cache.rows or n < 1:
            raise InputError(f"sample got n = {n} and {len(streams)} streams for {cache.rows} prefixes: give one each")
        self._require_room(cache.lengths, np.array(rule.max_tokens), "sample")
        require_candidates(n, cache.rows, rule)
        shape = (n, rule.max_tokens)
        uniforms = np.stack([stream.generator().random(shape) for stream in streams])
        size = rows_at_once(self.forward, int(cache.lengths.max()), n, rule.max_tokens)
        if size >= cache.rows:
            return self._sample(cache, uniforms, rule)
        made = [self._sample(part, uniforms[rows], rule) for rows, part in self._parts(cache, size)]
        return Steps(
            np.concatenate([steps.tokens for steps in made]),
            np.concatenate([steps.token_logp for steps in made]),
            np.concatenate([steps.finish for steps in made]),
        )

    def _sample(self, cache: PrefixCache, uniforms: NDArray[np.float64], rule: StepRule) -> Steps:
        return sample_steps(self.forward, cache, uniforms, rule, self.contract.sampling_temperature)

    def score(
        self, cache: PrefixCache, steps: Sequence[Sequence[Sequence[int]]] | NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Token log-probabilities (R, n, T) of given steps (nested lists, or an array padded with PAD), nats.

        Padding holds 0.0, so `.sum(-1)` is the log-probability of the step. Raises InputError for an id outside the
        vocabulary, or a step that does not fit in the context.
        """
        tokens = pad_steps(steps)
        if tokens.ndim != 3 or tokens.shape[0] != cache.rows:
            raise InputError(f"score got steps of shape {tokens.shape} for {cache.rows} prefixes: give (B, n, T)")
        self._require_ids(tokens, "score", PAD)
        if not tokens.size:
            return np.zeros(tokens.shape)
        self._require_room(cache.lengths, (tokens != PAD).sum(axis=2).max(axis=1), "score")
        n = max(1, TREE_TOKENS // tokens.shape[2])
        if tokens.shape[1] > n:
            return self._score_sorted(cache, tokens, n)
        size = rows_at_once(self.forward, int(cache.lengths.max()), *tokens.shape[1:])
        if size < cache.rows:
            return np.concatenate([self._score(part, tokens[rows]) for rows, part in self._parts(cache, size)])
        return self._score(cache, tokens)

    def _score_sorted(self, cache: PrefixCache, tokens: NDArray[np.integer], n: int) -> NDArray[np.float64]:
        """`score` of many candidates, n at a time in the order of their tokens, so that neighbors share nodes."""
        result = np.zeros(tokens.shape)
        order = np.stack([np.lexsort(group.T[::-1]) for group in tokens])
        rows = np.arange(len(tokens))[:, None]
        for start in range(0, tokens.shape[1], n):
            part = order[:, start : start + n]
            result[rows, part] = self.score(cache, tokens[rows, part])
        return result

    @torch.inference_mode()
    def _score(self, cache: PrefixCache, tokens: NDArray[np.integer]) -> NDArray[np.float64]:
        """`score` by one forward of the pending tokens and the tree that the steps span."""
        tree, after = tree_of_steps(tokens)
        forward = self.forward
        row, candidate, t = np.nonzero(tokens != PAD)
        node = after[row, candidate, t]
        # Rows of logits: the roots, then the nodes of every prefix.
        at = np.where(node < 0, row, cache.rows + row * tree.tokens.shape[1] + node)
        nodes = tree.tokens.size
        pieces: Iterable[Tensor]
        if nodes:
            features = encode(cache, tree.tokens, tree.depth, tree.sees, tree.tokens.shape[1]).flatten(0, 1)
        if not nodes:
            pieces = [cache.logits]
        elif len(blocks_of(nodes + cache.rows, self.vocabulary)) == 1:
            pieces = [torch.cat([cache.logits, forward.logits(features)])]
        else:
            parts = blocks_of(nodes, self.vocabulary)
            pieces = itertools.chain([cache.logits], (forward.logits(features[part]) for part in parts))
        given = tokens[row, candidate, t].astype(np.int64)
        logp = token_log_probs(
            pieces, _on(at, self.device), _on(given, self.device), self.contract.sampling_temperature
        )
        result = np.zeros(tokens.shape)
        result[row, candidate, t] = logp.cpu().numpy()
        return result

    def _parts(self, cache: PrefixCache, size: int) -> list[tuple[slice, PrefixCache]]:
        """The cache in groups of at most `size` rows; encoded first, so that later calls find it so."""
        _ = cache.logits
        rows = [slice(start, min(start + size, cache.rows)) for start in range(0, cache.rows, size)]
        return [(part, selected(cache, np.arange(part.start, part.stop))) for part in rows]

    def _extended(self, cache: PrefixCache, sequences: Sequence[Sequence[int]], place: str) -> PrefixCache:
        ids, real = left_padded(sequences, place)
        self._require_ids(ids, place, 0)
        self._require_room(cache.lengths, real.sum(axis=1), place)
        return extended(cache, ids, real)

    def _require_room(self, before: NDArray[np.int64], more: NDArray[np.int64], place: str) -> None:
        longest = int((before + more).max())
        if longest > self.forward.context:
            raise InputError(
                f"{place} needs {longest} tokens, and the context of {self.contract.model} holds "
                f"{self.forward.context}: shorten the prompt, or take fewer or shorter steps"
            )

    def _require_ids(self, tokens: NDArray[np.integer], place: str, lowest: int) -> None:
        if tokens.size and (tokens.max() >= self.vocabulary or tokens.min() < lowest):
            bad = tokens[(tokens >= self.vocabulary) | (tokens < lowest)][0]
            raise InputError(
                f"{place} got token id {int(bad)}, outside the {self.vocabulary} ids of "
                f"{self.contract.model}: draft and base need one tokenizer"
            )


def _on(array: Array, device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device)
