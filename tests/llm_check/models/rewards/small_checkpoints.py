"""Small checkpoints of the reward models' architectures, with the weight names and config fields of the real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import pre_tokenizers
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2ForSequenceClassification, Qwen2Tokenizer

# The layout of Qwen's template: a system turn where one is given, then turns, then the opened answer.
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_0>")
MERGES = [("Ċ", "Ċ"), ("t", "h"), ("th", "e"), ("Ġ", "the"), ("s", "o"), ("i", "s"), (".", "ĊĊ")]


def build_tokenizer(reverse: bool = False, chat: bool = True) -> Qwen2Tokenizer:
    """Qwen's own tokenizer class over the bytes; `reverse` numbers them the other way round: a policy with other ids.

    The class matters: for a folder whose config.json says qwen2, transformers takes its splitting of text from there.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet(), reverse=reverse)
    tokens = [*alphabet, *(a + b for a, b in MERGES)]
    tokenizer = Qwen2Tokenizer(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=MERGES,
        bos_token="<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL[1:])})
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def small_config(**changes: Any) -> Qwen2Config:
    """Two layers, two key-value heads for four heads, a context of 512."""
    numbers = {
        "vocab_size": 267, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
        "initializer_range": 0.3, "pad_token_id": None, "tie_word_embeddings": False,
    }  # fmt: skip
    return Qwen2Config(**{**numbers, **changes})


def decoder_weights(seed: int) -> dict[str, torch.Tensor]:
    """The weights of a causal model: model.* and lm_head.weight, as the real checkpoints have them."""
    torch.manual_seed(seed)
    weights = Qwen2ForCausalLM(small_config()).state_dict()
    return {name: tensor.clone() + 0.1 * torch.randn_like(tensor) for name, tensor in weights.items()}


def save_checkpoint(folder: Path, architecture: str, head: dict[str, torch.Tensor], seed: int = 0) -> Path:
    """A folder like the published ones: two safetensors shards, config.json with auto_map to code that is not there."""
    folder.mkdir(parents=True)
    weights = decoder_weights(seed)
    shards = {"model-00001-of-00002.safetensors": {}, "model-00002-of-00002.safetensors": dict(head)}
    for i, (name, tensor) in enumerate(weights.items()):
        list(shards.values())[i % 2][name] = tensor
    for file, tensors in shards.items():
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / file, {"format": "pt"})
    index = {name: file for file, tensors in shards.items() for name in tensors}
    text = json.dumps({"metadata": {}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(text)
    config = small_config().to_dict() | {
        "architectures": [architecture],
        "auto_map": {"AutoConfig": "configuration_rm.Config", "AutoModel": f"modeling_rm.{architecture}"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    build_tokenizer().save_pretrained(folder)
    return folder


def save_qwen_prm(folder: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """A Qwen2.5-Math-PRM: two linear layers with a ReLU between them (score.1 has no weights), two classes."""
    torch.manual_seed(7)
    head = {
        "score.0.weight": torch.randn(32, 32), "score.0.bias": torch.randn(32),
        "score.2.weight": torch.randn(2, 32) / 16, "score.2.bias": torch.zeros(2),
    }  # fmt: skip
    return save_checkpoint(folder, "Qwen2ForProcessRewardModel", head), head


def save_skywork_prm(folder: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """A Skywork-o1 PRM: one linear layer to one number."""
    torch.manual_seed(8)
    head = {"v_head.summary.weight": torch.randn(1, 32) / 4, "v_head.summary.bias": torch.randn(1)}
    return save_checkpoint(folder, "Qwen2ForPrmModel", head, seed=1), head


def save_classifier(folder: Path, labels: int) -> Path:
    """A sequence classifier of transformers' own."""
    torch.manual_seed(9)
    Qwen2ForSequenceClassification(small_config(num_labels=labels)).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder


def full_forward(ids: list[int], seed: int) -> torch.Tensor:
    """Hidden states (length, width) of one sequence, computed whole, without any cache: the plain way."""
    model = Qwen2ForCausalLM(small_config())
    model.load_state_dict(decoder_weights(seed))
    with torch.inference_mode():
        return model.eval().model(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0]
