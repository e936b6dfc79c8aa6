"""A process reward read off the base's own hidden states: a logistic head on what its first layers make of an answer.

The answer so far is read after its prompt, followed by the end of the turn (eos), through the first `layer` layers and
the base's last norm. Two states are kept, h at that end and the mean h̄ over the answer's tokens and the end, d numbers
each, and whether the answer ended by itself:

    reward = σ(w · (h, h̄, ended) + b),   in [0, 1]

A prefix of an answer is read in the same way, so whole answers, steps and single tokens are judged alike. Half of the
layers that a policy runs and no logits are computed; the prompt's keys and values are kept from call to call.

A head is a folder: model.safetensors (weight (2d + 1,), bias (1,)) and head.json, which names base and layer with the
sha256 of the base's weights and of its own. A head says nothing about another model's states, so another is refused.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from scipy.special import expit

from gsi_theory.errors import InputError
from gsi_theory.runs.json_output import with_schema
from gsi_theory.runs.output import atomic_write_files
from gsi_theory.types import Floats, Json, Record
from llm_check.models.decoding.prompting import end_ids
from llm_check.models.engines.checkpoint import load_model, load_tokenizer, read_config, weights_hash
from llm_check.models.engines.step_encoder import Pieces, StepEncoder
from llm_check.models.engines.weight_files import read_object
from llm_check.models.model_types import Tokenizer
from llm_check.models.real.conversion import tensors_hash
from llm_check.models.real.model_cache import real_name
from llm_check.models.rewards.checkpoints import read_weights, require_vocabulary
from llm_check.models.rewards.scored_once import Pair, RewardMemory, ScoredOnce, require_context

__all__ = [
    "HEAD",
    "SHIPPED",
    "AnswerStates",
    "StateHeadReward",
    "base_folder",
    "load_answer_states",
    "load_state_head",
    "read_head",
    "write_head",
]

HEAD = "head.json"
# The head of the real base, made by llm_check.models.real.train_head.
SHIPPED = Path(__file__).resolve().parent.parent / "real" / "head"
# Tokens of prompts held at once.
_PROMPT_TOKENS = 1 << 13


@dataclass(frozen=True)
class AnswerStates:
    """The first layers of a base, as numbers of an answer: `width` = 2d + 1 of them.

    encoder: those layers, with the prompts of the last call
    end: the id read after an answer
    ends: ids that end an answer, and are no part of it
    """

    encoder: StepEncoder
    end: int
    ends: frozenset[int]

    @property
    def width(self) -> int:
        """How many numbers there are of an answer."""
        return 2 * int(self.encoder.forward.body.config.hidden_size) + 1

    def read(self, pairs: Sequence[Pair], name: str) -> Floats:
        """The numbers (M, 2d + 1) of M (position, step) pairs. InputError, with `name`, beyond the context."""
        sequences: list[Pieces] = []
        ended = np.zeros((len(pairs), 1))
        for row, (place, step) in enumerate(pairs):
            answer = [*place.solution, *step]
            while answer and answer[-1] in self.ends:
                answer.pop()
                ended[row] = 1.0
            sequences.append((place.prompt.ids, (*answer, self.end)))
            require_context(name, place, sum(map(len, sequences[-1])), self.encoder.forward.context)
        distinct = sorted(set(sequences))  # prompts that begin alike stand together
        parts = [self.encoder.last_and_mean(part).flatten(1).double().cpu().numpy() for part in _portions(distinct)]
        row_of = {sequence: row for row, sequence in enumerate(distinct)}
        states = np.concatenate(parts)[[row_of[sequence] for sequence in sequences]]
        return np.concatenate([states, ended], axis=1)


def _portions(sequences: list[Pieces]) -> Iterator[list[Pieces]]:
    """The sequences in order, cut where their distinct prompts would fill more than the memory that is given them."""
    part: list[Pieces] = []
    tokens = 0
    prompts: set[tuple[int, ...]] = set()
    for sequence in sequences:
        new = 0 if sequence[0] in prompts else len(sequence[0])
        if part and tokens + new > _PROMPT_TOKENS:
            yield part
            part, tokens, prompts, new = [], 0, set(), len(sequence[0])
        part.append(sequence)
        prompts.add(sequence[0])
        tokens += new
    yield part


@dataclass(frozen=True)
class StateHeadReward(ScoredOnce):
    """A logistic head on the states of answers; rewards lie in [0, 1].

    name: for records
    states: what it reads
    weight, bias: w (2d + 1,) and b
    settings: what a run records: the base and its hash, the layer, the head's hash, the dtype
    low, high: 0 and 1
    memory: rewards already computed
    """

    name: str
    states: AnswerStates
    weight: Floats
    bias: float
    settings: Mapping[str, Json]
    low: float = 0.0
    high: float = 1.0
    memory: RewardMemory = field(default_factory=RewardMemory, repr=False)

    def forget(self) -> None:
        """Drop remembered rewards and encoded prompts: what follows is computed as by a freshly loaded model."""
        super().forget()
        self.states.encoder.forget()

    def compute(self, pairs: list[Pair]) -> Floats:
        scores: Floats = self.states.read(pairs, self.name) @ self.weight + self.bias
        return np.asarray(expit(scores), dtype=np.float64)


def read_head(folder: Path) -> Record:
    """What head.json tells: base (its name), base_sha256, layer, weights_sha256, and how the head was trained.

    Raises InputError for a folder without it, fields that are missing or of another kind, or weights that are not the
    ones it was written with.
    """
    again = "make the head again with python -m llm_check.models.real.train_head"
    if not (folder / HEAD).is_file():
        raise InputError(f"{folder} has no {HEAD}: it holds no reward head, {again}")
    record = read_object(folder / HEAD)
    for key, kind in (("base", str), ("base_sha256", str), ("layer", int), ("weights_sha256", str)):
        if not isinstance(record.get(key), kind) or isinstance(record[key], bool):
            raise InputError(f"{folder / HEAD} tells {key} = {record.get(key)!r}: {again}")
    if weights_hash(folder) != record["weights_sha256"]:
        raise InputError(f"the weights at {folder} are not those that its {HEAD} was written for: {again}")
    return record


def load_answer_states(folder: Path, layer: int, tokenizer: Tokenizer, device: str, dtype: str) -> AnswerStates:
    """The first `layer` layers of the base at `folder`; `tokenizer` is the policies'.

    Raises InputError for a layer that the base has not got, another vocabulary, and as `load_model`.
    """
    from transformers import AutoModel

    model = load_model(AutoModel, folder, device, dtype, spare=("lm_head.",))
    layers = int(model.config.num_hidden_layers)
    if not 1 <= layer <= layers:
        raise InputError(f"the model at {folder} has {layers} layers: no state can be read after layer {layer}")
    model.layers = model.layers[:layer]
    model.config.num_hidden_layers = layer
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = model.config.layer_types[:layer]
    own = load_tokenizer(folder)
    require_vocabulary(own, tokenizer, f"the base at {folder}, whose states are read,")
    ends = end_ids(own)
    return AnswerStates(StepEncoder(model, str(folder)), int(own.eos_token_id), frozenset(ends))


def load_state_head(
    folder: Path, tokenizer: Tokenizer, device: str, dtype: str, *, base: str | None = None, name: str = ""
) -> StateHeadReward:
    """The head at `folder` on the states of `base`, a folder or a real model's name (None: the name in head.json);
    `name` defaults to the folder's.

    Raises InputError for a head that is damaged or was trained on another base, a base that is not there, and as
    `load_answer_states`.
    """
    record = read_head(folder)
    place = base_folder(base or record["base"])
    read_config(place)
    found = tensors_hash(place)
    if found != record["base_sha256"]:
        raise InputError(
            f"the head {name or folder.name} was trained on the states of {record['base']} (sha256 of its tensors "
            f"{record['base_sha256'][:12]}…), and {place} holds others ({found[:12]}…): give that base, or train a "
            "head on this one"
        )
    head = read_weights(folder, ["weight", "bias"])
    states = load_answer_states(place, record["layer"], tokenizer, device, dtype)
    if tuple(head["weight"].shape) != (states.width,) or tuple(head["bias"].shape) != (1,):
        raise InputError(
            f"{folder}: weight and bias have the shapes {tuple(head['weight'].shape)} and {tuple(head['bias'].shape)}, "
            f"where ({states.width},) and (1,) are needed: train the head again"
        )
    settings = {key: record[key] for key in ("base", "base_sha256", "layer", "weights_sha256")} | {"dtype": dtype}
    weight = head["weight"].to(torch.float64).numpy()
    return StateHeadReward(name or folder.resolve().name, states, weight, float(head["bias"][0]), settings)


def base_folder(spec: str) -> Path:
    """The folder of a base given as a folder or by a real model's name. InputError for a draft of one, whose states are
    others, and for a model that is not ready."""
    named = real_name(spec)
    if named is None:
        return Path(spec)
    if named.quantization is not None:
        raise InputError(f"base {spec!r} of a head: give {named.model.name}, whose states the head reads")
    return named.folder()


def write_head(folder: Path, weight: Floats, bias: float, base: Path, record: Record) -> None:
    """Write a head (w (2d + 1,), b) into `folder`: model.safetensors in float32, and head.json, which is `record` (with
    base, its name, and layer), the sha256 of the tensors of the base at `base`, and of the weights written."""
    numbers = {"weight": torch.tensor(weight, dtype=torch.float32), "bias": torch.tensor([bias], dtype=torch.float32)}
    with tempfile.TemporaryDirectory() as place:
        save_file(numbers, Path(place) / "model.safetensors")
        hashes = {"base_sha256": tensors_hash(base), "weights_sha256": weights_hash(Path(place))}
        text = json.dumps(with_schema("training", record | hashes), indent=1) + "\n"
        weights = (Path(place) / "model.safetensors").read_bytes()
    atomic_write_files({folder / "model.safetensors": weights, folder / HEAD: text.encode()})
