"""Small checkpoints of Llama class with a trained byte-level tokenizer of 2,000 tokens and a chat template: what stands
for real models in quick tests. Draft and base are one random model and the same with noise in its weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from gsi_theory.runs.theory_chapters import CHAPTERS

VOCABULARY = 2000
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _tokenizer() -> PreTrainedTokenizerFast:
    text = "\n".join(CHAPTERS.values())
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    made.chat_template = CHAT_TEMPLATE
    return made


def save_pair(folder: Path, noise: float = 0.01) -> tuple[Path, Path]:
    """Folders of draft and base."""
    tokenizer = _tokenizer()
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True, initializer_range=0.3,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(3)
    base = LlamaForCausalLM(config)
    # peaked laws, as those of language models
    base.model.norm.weight.data.mul_(1.4)
    base.save_pretrained(folder / "base")
    with torch.no_grad():
        for name, weight in base.named_parameters():
            if weight.dim() > 1 and "embed" not in name:
                weight.add_(noise * torch.randn_like(weight))
    base.save_pretrained(folder / "draft")
    for role in ("draft", "base"):
        tokenizer.save_pretrained(folder / role)
    return folder / "draft", folder / "base"


def save_sums(folder: Path, count: int = 12) -> Path:
    """Sums as a task of one's own."""
    rows = [
        {"question": f"What is {3 * i % 17} + {5 * i % 13}?", "answer": str(3 * i % 17 + 5 * i % 13)}
        for i in range(count)
    ]
    path = folder / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def length_reward(questions: list[str], steps: list[list[str]]) -> list[float]:
    """Short answers are better; a function as `python:FILE:FUNCTION` names it."""
    return [1.0 / (1.0 + len(part[-1]) / 20.0) for part in steps]
