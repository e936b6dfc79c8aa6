"""vLLM in this process: the `vllm` package behind the Engine protocol (its only import in the project).

What makes the log-probabilities those of the law that is sampled (vLLM 0.32, checked in tests/vllm):

* raw log-probabilities, temperature 1, no truncation, no penalties, nothing from the model's generation_config.json;
* candidates end only at the step rule's own ids: the model's end-of-sequence id is among them, and the extra ones
  that vLLM reads from generation_config.json are ignored;
* scoring never reads the prefix cache (`skip_reading_prefix_cache`): log-probabilities of cached prompt tokens would be
  what lay in memory (nats away, no warning); sampling does, so the n candidates of a prompt share its prefix.

vLLM cannot score at another temperature (prompt log-probabilities are never scaled): T != 1 is refused at loading.
Options go to `vllm.LLM` as they are: tensor_parallel_size=4, gpu_memory_utilization=0.85, enforce_eager=true, ...
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from transformers import AutoTokenizer

from gsi_theory.errors import InputError
from gsi_theory.types import Json, Record
from llm_check.models.engines.checkpoint import read_config, require_checkpoint, revision_of, weights_hash
from llm_check.models.engines.engine import LogProbContract
from llm_check.models.engines.token_engine import (
    Completion,
    SampleRequest,
    ScoreRequest,
    TokenEngine,
    WrongAnswer,
    checked_completion,
    checked_scores,
)

__all__ = ["VllmOffline", "load_offline"]

# What decides the law, the conversion of ids, or what is run: not for options.
FIXED: Record = {
    "trust_remote_code": False,
    "load_format": "safetensors",
    "generation_config": "vllm",
    "logprobs_mode": "raw_logprobs",
    "runner": "generate",
    "skip_tokenizer_init": False,
    "seed": 0,
}
# A seeded request whose prompt is prefilled in parts kills the CPU build: it winds the generator back after each part,
# which torch's CPU generator cannot do. It happens as soon as the prompts of a batch exceed max_num_batched_tokens.
ON_CPU: Record = {"enable_chunked_prefill": False}
RESERVED = {*FIXED, "model", "tokenizer", "dtype", "hf_overrides", "override_generation_config", "logits_processors"}


@dataclass(frozen=True)
class VllmOffline:
    """A `Service` (engines.token_engine) on one vllm.LLM."""

    llm: Any
    vocabulary: int

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """All requests in one batch of the engine."""
        from vllm import SamplingParams

        params = [
            SamplingParams(
                n=r.n,
                seed=r.seed,
                max_tokens=r.max_tokens,
                stop_token_ids=list(r.stop_ids),
                ignore_eos=True,
                temperature=1.0,
                logprobs=0,
                detokenize=False,
                watermarking=False,
            )
            for r in requests
        ]
        answers = self._generate([r.prompt for r in requests], params, requests[0].place)
        return [self._drawn(answer, r) for answer, r in zip(answers, requests, strict=True)]

    def score(self, requests: Sequence[ScoreRequest]) -> list[list[float]]:
        """Every sequence prefilled whole: one token is drawn after it and thrown away."""
        from vllm import SamplingParams

        params = SamplingParams(
            max_tokens=1, temperature=1.0, prompt_logprobs=0, detokenize=False, skip_reading_prefix_cache=True
        )
        whole = [r.prefix + r.step for r in requests]
        answers = self._generate(whole, [params] * len(whole), requests[0].place)
        return [self._scored(answer, r) for answer, r in zip(answers, requests, strict=True)]

    def _generate(self, prompts: Sequence[tuple[int, ...]], params: list[Json], place: str) -> list[Json]:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            return self.llm.generate([{"prompt_token_ids": list(ids)} for ids in prompts], params, use_tqdm=False)
        except EngineDeadError as error:
            raise InputError(
                f"vLLM's engine died in a batch that starts at {place}: its reason is on standard error "
                "(often memory: lower gpu_memory_utilization or max_num_seqs); run again, finished rows are kept"
            ) from error

    def _drawn(self, answer: Json, request: SampleRequest) -> list[Completion]:
        try:
            if list(answer.prompt_token_ids) != list(request.prompt):
                raise WrongAnswer("the engine read other prompt ids than those given")
            if [one.index for one in answer.outputs] != list(range(request.n)):
                raise WrongAnswer(
                    f"candidates {[one.index for one in answer.outputs]} where {request.n} were asked for"
                )
            return [
                checked_completion(
                    one.token_ids,
                    [row[token].logprob for row, token in zip(one.logprobs, one.token_ids, strict=True)],
                    one.finish_reason,
                    request,
                    self.vocabulary,
                )
                for one in answer.outputs
            ]
        except (WrongAnswer, KeyError) as error:
            raise InputError(
                f"vLLM answered wrongly for {request.place} ({error}): report it, nothing was kept"
            ) from error

    def _scored(self, answer: Json, request: ScoreRequest) -> list[float]:
        rows = answer.prompt_logprobs[len(request.prefix) :]
        try:
            return checked_scores([row[token].logprob for row, token in zip(rows, request.step, strict=True)], request)
        except (ValueError, KeyError) as error:
            raise InputError(
                f"vLLM scored wrongly for {request.place} ({error}): report it, nothing was kept"
            ) from error


def _require_kernels(path: Path, config: Mapping[str, Json]) -> None:
    """InputError where vLLM's CPU build has no attention kernel for the model's heads: it would die when used."""
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    head = config.get("head_dim") or config.get("hidden_size", 0) // max(1, config.get("num_attention_heads", 1))
    known = CPUAttentionBackend.get_supported_head_sizes()
    if head and head not in known:
        raise InputError(
            f"{path} has attention heads of {head} numbers; vLLM's CPU build knows {', '.join(map(str, known))}: use "
            "transformers:FOLDER, or for the embedded pair the folders that "
            "python -m llm_check.models.tiny.widen OUT writes"
        )


@contextmanager
def _bare_main() -> Iterator[None]:
    """Hides the main module while vLLM starts its processes, which would import it again: a script without a guard
    would start over, and vLLM 0.32, which walks through all imported modules there, dies on llvmlite's (numba)."""
    own = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = own


def load_offline(path: str | Path, device: str, dtype: str, options: Mapping[str, Json]) -> TokenEngine:
    """Start vLLM on a checkpoint folder (about 20 s eager, minutes where it compiles). Its errors go to standard error;
    VLLM_LOGGING_LEVEL=INFO shows the rest.

    Raises InputError for a missing package or folder, a device the installed build does not run on, heads without a
    kernel, an option that would change the law, and whatever vLLM refuses.
    """
    path = Path(path)
    if taken := sorted(RESERVED & options.keys()):
        raise InputError(f"option {taken[0]} of vllm:{path} would change what is measured: leave it out")
    require_checkpoint(path)
    config = read_config(path)
    for name, value in (
        ("VLLM_LOGGING_STREAM", "ext://sys.stderr"),
        ("VLLM_LOGGING_LEVEL", "ERROR"),
        ("VLLM_NO_USAGE_STATS", "1"),
    ):
        os.environ.setdefault(name, value)
    try:
        import vllm
        from vllm.platforms import current_platform
    except ImportError as error:
        raise InputError(
            f"vllm:{path} needs the package vllm ({error}): pip install 'gsi-theory[vllm]' (CPU: make test-vllm)"
        ) from error
    if device.split(":")[0] != current_platform.device_type:
        raise InputError(
            f"device {device!r}, but the installed vLLM runs on {current_platform.device_type}: pass that device"
        )
    if current_platform.is_cpu():
        _require_kernels(path, config)
        options = ON_CPU | dict(options)
    try:
        with _bare_main():
            llm = vllm.LLM(model=str(path), dtype=dtype, **FIXED, **{"use_tqdm_on_load": False, **options})
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(f"vLLM cannot serve {path} ({reason}): its log on standard error says more") from error
    # At exit Python waits for child processes before it drops objects: without this it would wait for ever.
    atexit.register(llm.llm_engine.engine_core.shutdown)
    model = llm.llm_engine.model_config
    contract = LogProbContract(
        "vllm",
        vllm.__version__,
        "/".join(path.resolve().parts[-2:]),
        str(model.dtype).removeprefix("torch."),
        model_hash=weights_hash(path),
        revision=revision_of(path),
        forward=f"vllm {current_platform.device_type}",
    )
    size = int(model.get_vocab_size())
    return TokenEngine(VllmOffline(llm, size), tokenizer, contract, size, int(model.max_model_len) - 1)
