"""Small logs of every format, and the rows that they hold, written by hand: several prompts, nulls, absent fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["SAMPLES", "Sample"]

Objects = list[Any]


@dataclass(frozen=True)
class Sample:
    """`objects`, one a line, of a file called `name`, read as `form` with `options` of `gsi import`; `rows`, without
    step 0 and source "one", nulls left out; `facts`, some of those that must be in the file."""

    form: str
    objects: Objects
    rows: Objects
    options: tuple[str, ...] = ()
    facts: dict[str, Any] | None = None
    name: str = "log.jsonl"


def _choice(index: int, text: str, logps: Any, **more: Any) -> dict[str, Any]:
    return {"index": index, "text": text, "finish_reason": "stop", "logprobs": {"token_logprobs": logps}} | more


_VLLM = {
    "id": "cmpl-a",
    "model": "small",
    "prompt_token_ids": [5, 6],
    "choices": [
        _choice(1, "no", [-1.5], finish_reason="length", stop_reason=None, token_ids=[9]),
        _choice(0, "yes.", [-0.5, -0.25], stop_reason=None, token_ids=[7, 8]),
        _choice(2, "na", [-1.0, -9999.0], stop_reason="a", token_ids=[9, 4]),
    ],
}
_VLLM_ROWS = [
    {
        "prompt_id": "cmpl-a",
        "candidate": 0,
        "logp_draft": -0.75,
        "n_tokens": 2,
        "finish_reason": "eos",
        "text": "yes.",
        "token_ids": [7, 8],
        "token_logp_draft": [-0.5, -0.25],
    },
    {
        "prompt_id": "cmpl-a",
        "candidate": 1,
        "logp_draft": -1.5,
        "n_tokens": 1,
        "finish_reason": "length",
        "text": "no",
        "token_ids": [9],
        "token_logp_draft": [-1.5],
    },
    {
        "prompt_id": "cmpl-a",
        "candidate": 2,
        "n_tokens": 2,
        "finish_reason": "stop",
        "text": "na",
        "token_ids": [9, 4],
        "token_logp_draft": [-1.0, None],
    },
]


def _scored(ids: list[int], entries: list[Any], **more: Any) -> dict[str, Any]:
    return {
        "model": "large", "choices": [{"index": 0, "text": "x", "token_ids": [1], "prompt_token_ids": ids,
                                       "prompt_logprobs": [None, *entries]}],
    } | more  # fmt: skip


def _entry(token: int, logp: float, rank: int = 1, **others: tuple[float, int]) -> dict[str, Any]:
    tops = {key.removeprefix("t"): {"logprob": value, "rank": r} for key, (value, r) in others.items()}
    return {str(token): {"logprob": logp, "rank": rank}} | tops


_CHAT = {
    "id": "chat-1",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "4"},
            "logprobs": {
                "content": [{"token": "4", "logprob": -0.5, "top_logprobs": [{"token": "5", "logprob": -9999.0}]}]
            },
        },
        {"index": 1, "finish_reason": "length", "message": {"role": "assistant", "content": None}, "logprobs": None},
    ],
}
_CHAT_ROWS = [
    {
        "prompt_id": "chat-1",
        "candidate": 0,
        "logp_draft": -0.5,
        "n_tokens": 1,
        "finish_reason": "stop",
        "text": "4",
        "token_logp_draft": [-0.5],
    },
    {"prompt_id": "chat-1", "candidate": 1, "finish_reason": "length"},
]


def _sglang(name: str, tokens: list[list[Any]], **meta: Any) -> dict[str, Any]:
    more = {"id": name, "finish_reason": {"type": "stop"}, "output_token_logprobs": tokens} | meta
    return {"text": f"text of {name}", "output_ids": [token[1] for token in tokens], "meta_info": more}


def _lm_eval(doc: int, filtered: Any, metric: float, name: str = "strict-match", texts: Any = None) -> dict[str, Any]:
    settings = {"until": ["\n"], "do_sample": True, "temperature": 0.5, "top_p": 0.9}
    return {
        "doc_id": doc, "target": "4", "arguments": {"gen_args_0": {"arg_0": "2+2=", "arg_1": settings}},
        "resps": [texts or [f"so {filtered}", "so 5"]], "filter": name, "filtered_resps": [filtered],
        "metrics": ["exact_match"], "exact_match": metric,
    }  # fmt: skip


def _inspect(name: Any, epoch: int, value: Any, **more: Any) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": [{"type": "text", "text": f"{name}/{epoch}"}]},
              "stop_reason": "stop"}  # fmt: skip
    output = {"model": "openai/m", "choices": [choice], "usage": {"input_tokens": 9, "output_tokens": 3}}
    scores = {"match": {"value": value, "answer": "a"}, "grade": {"value": 0.5}}
    return {"id": name, "epoch": epoch, "output": output, "scores": scores} | more


def _eee(name: str, text: str, score: float, **more: Any) -> dict[str, Any]:
    attribution = [{"extracted_value": "draft", "is_terminal": False}, {"extracted_value": "4", "is_terminal": True}]
    return {
        "schema_version": "0.2.2", "model_id": "org/m", "sample_id": name, "interaction_type": "single_turn",
        "output": {"raw": [text]}, "answer_attribution": attribution,
        "evaluation": {"score": score, "is_correct": score > 0.5}, "token_usage": {"output_tokens": 2},
    } | more  # fmt: skip


def _counted(prompt: str, correct: bool, count: int, first: int = 0) -> dict[str, Any]:
    return {"prompt_id": prompt, "candidate": first, "correct": correct, "count": count}


SAMPLES = {
    "vllm completions": Sample("vllm", [_VLLM], _VLLM_ROWS, facts={"engine": "vllm", "model": "small", "iid": True}),
    "vllm chat": Sample("vllm", [_CHAT | {"prompt_logprobs": None}], _CHAT_ROWS),
    "vllm with scorings": Sample(
        "vllm",
        [
            _VLLM | {"choices": _VLLM["choices"][:2], "score": [0.5, 0.75]},
            _scored([5, 6, 9], [_entry(6, -3.0), _entry(9, -2.0, 7, t1=(-0.1, 1), t2=(-0.4, 2))]),
            _scored([5, 6, 7, 8], [_entry(6, -3.0), _entry(7, -9999.0, 9, t1=(-0.1, 1)), _entry(8, -0.5)]),
        ],
        [
            {
                "prompt_id": "cmpl-a",
                "source": "draft",
                "candidate": 0,
                "logp_draft": -0.75,
                "logp_base": -float("inf"),
                "reward": 0.5,
                "n_tokens": 2,
                "finish_reason": "eos",
                "text": "yes.",
                "token_ids": [7, 8],
                "token_logp_draft": [-0.5, -0.25],
                "token_logp_base": [-float("inf"), -0.5],
            },
            {
                "prompt_id": "cmpl-a",
                "source": "draft",
                "candidate": 1,
                "logp_draft": -1.5,
                "logp_base": -2.0,
                "reward": 0.75,
                "n_tokens": 1,
                "finish_reason": "length",
                "text": "no",
                "token_ids": [9],
                "token_logp_draft": [-1.5],
                "token_logp_base": [-2.0],
            },
        ],
        ("--map", "reward=score.@i"),
        {"base_model": "large", "model": ["small", "large"]},
    ),
    "vllm scorings alone": Sample(
        "vllm",
        [
            {
                "id": "s",
                "choices": [
                    {
                        "index": 0,
                        "text": "",
                        "prompt_logprobs": [
                            None,
                            _entry(6, -3.0),
                            _entry(9, -2.0, 7, t1=(-0.1, 1)),
                            {"4": {"logprob": -1.0}},
                        ],
                    }
                ],
            }
        ],
        [
            {
                "prompt_id": "s",
                "candidate": 0,
                "logp_draft": -6.0,
                "n_tokens": 3,
                "text": "",
                "token_ids": [6, 9, 4],
                "token_logp_draft": [-3.0, -2.0, -1.0],
            }
        ],
        facts={"iid": False},
    ),
    "vllm offline": Sample(
        "vllm",
        [
            {
                "request_id": "7",
                "outputs": [
                    {
                        "index": 0,
                        "text": "a",
                        "token_ids": [3, 4],
                        "cumulative_logprob": -1.25,
                        "finish_reason": "length",
                    },
                    {
                        "index": 1,
                        "text": "b",
                        "token_ids": [3],
                        "cumulative_logprob": -1.0,
                        "logprobs": [{"3": {"logprob": -1.0}}],
                    },
                ],
            }
        ],
        [
            {
                "prompt_id": "7",
                "candidate": 0,
                "logp_draft": -1.25,
                "n_tokens": 2,
                "finish_reason": "length",
                "text": "a",
                "token_ids": [3, 4],
            },
            {
                "prompt_id": "7",
                "candidate": 1,
                "logp_draft": -1.0,
                "n_tokens": 1,
                "text": "b",
                "token_ids": [3],
                "token_logp_draft": [-1.0],
            },
        ],
    ),
    "openai chat": Sample("openai", [_CHAT], _CHAT_ROWS, facts={"model": "m", "iid": True}),
    "openai batch": Sample(
        "openai",
        [
            {"custom_id": "q1", "response": {"status_code": 200, "body": _CHAT | {"id": f"c{i}"}}, "r": 0.25}
            for i in (0, 1)
        ],
        [row | {"prompt_id": "q1", "candidate": i, "reward": 0.25} for i, row in enumerate([*_CHAT_ROWS, *_CHAT_ROWS])],
        ("--map", "reward=r"),
    ),
    "sglang": Sample(
        "sglang",
        [
            _sglang("a", [[-0.5, 7, "y"], [-0.25, 8, None]], completion_tokens=2),
            [
                _sglang("b", [[-1.0, 7, None]]),
                _sglang("c", [[-2.0, 9, None]], finish_reason={"type": "length", "length": 1}),
            ],
        ],
        [
            {
                "prompt_id": "a",
                "candidate": 0,
                "logp_draft": -0.75,
                "n_tokens": 2,
                "finish_reason": "stop",
                "text": "text of a",
                "token_ids": [7, 8],
                "token_logp_draft": [-0.5, -0.25],
            },
            {
                "prompt_id": "b",
                "candidate": 0,
                "logp_draft": -1.0,
                "n_tokens": 1,
                "finish_reason": "stop",
                "text": "text of b",
                "token_ids": [7],
                "token_logp_draft": [-1.0],
            },
            {
                "prompt_id": "b",
                "candidate": 1,
                "logp_draft": -2.0,
                "n_tokens": 1,
                "finish_reason": "length",
                "text": "text of c",
                "token_ids": [9],
                "token_logp_draft": [-2.0],
            },
        ],
        facts={"engine": "sglang"},
    ),
    "sglang kept tokens": Sample(
        "sglang",
        [
            _sglang(
                "a",
                [[-1.0, 7, None], [-0.5, 8, None]],
                output_token_sampling_mask=[[7, 9], [8]],
                output_token_sampling_logprobs=[-0.75, 0.0],
            )
        ],
        [
            {
                "prompt_id": "a",
                "candidate": 0,
                "logp_draft": -0.75,
                "n_tokens": 2,
                "finish_reason": "stop",
                "text": "text of a",
                "token_ids": [7, 8],
                "token_logp_draft": [-0.75, 0.0],
            }
        ],
        ("--fact", "logprobs=raw", "--fact", "version=0.5"),
        {
            "kept": {
                "tokens": 2,
                "mean_mass": (2.718281828459045**-0.25 + 2.718281828459045**-0.5) / 2,
                "least_mass": 2.718281828459045**-0.5,
            },
            "logprobs": "raw",
            "version": "0.5",
        },
    ),
    "tgi": Sample(
        "tgi",
        [
            {
                "generated_text": "4",
                "details": {
                    "finish_reason": "eos_token",
                    "generated_tokens": 2,
                    "prefill": [],
                    "tokens": [{"id": 3, "logprob": -0.5}, {"id": 2, "logprob": -0.25}],
                    "best_of_sequences": [
                        {
                            "generated_text": "5",
                            "finish_reason": "length",
                            "generated_tokens": 1,
                            "tokens": [{"id": 4, "logprob": -2.0}],
                        }
                    ],
                },
            },
            {"generated_text": "6"},
        ],
        [
            {
                "prompt_id": "1",
                "candidate": 0,
                "logp_draft": -0.75,
                "n_tokens": 2,
                "finish_reason": "eos",
                "text": "4",
                "token_ids": [3, 2],
                "token_logp_draft": [-0.5, -0.25],
            },
            {
                "prompt_id": "1",
                "candidate": 1,
                "logp_draft": -2.0,
                "n_tokens": 1,
                "finish_reason": "length",
                "text": "5",
                "token_ids": [4],
                "token_logp_draft": [-2.0],
            },
            {"prompt_id": "2", "candidate": 0, "text": "6"},
        ],
    ),
    "search-and-learn": Sample(
        "search-and-learn",
        [
            {
                "unique_id": "u1",
                "completions": ["a", "b"],
                "scores": [[0.5, 0.25], [0.75]],
                "completion_tokens": [4, 2],
            },
            {"problem": "p?", "completions": ["c"], "scores": [[0.5, 0.5, 1.0]], "agg_scores": [1.0]},
        ],
        [
            {
                "prompt_id": "u1",
                "candidate": 0,
                "reward": 0.125,
                "n_tokens": 4,
                "text": "a",
                "sampling_temperature": 0.8,
            },
            {
                "prompt_id": "u1",
                "candidate": 1,
                "reward": 0.75,
                "n_tokens": 2,
                "text": "b",
                "sampling_temperature": 0.8,
            },
            {"prompt_id": "p?", "candidate": 0, "reward": 0.25, "text": "c", "sampling_temperature": 0.8},
        ],
        ("--aggregate", "product"),
        {"aggregate": "product", "temperature": 0.8, "top_p": 1.0, "iid": True},
        "x--T-0.8--top_p-1.0--n-2--seed-0--agg_strategy-last.jsonl",
    ),
    "search-and-learn aggregated": Sample(
        "search-and-learn",
        [{"unique_id": 3, "completions": ["a", "b"], "agg_scores": [0.5, 0.25]}],
        [
            {"prompt_id": "3", "candidate": 0, "reward": 0.5, "text": "a"},
            {"prompt_id": "3", "candidate": 1, "reward": 0.25, "text": "b"},
        ],
    ),
    "monkeys": Sample(
        "monkeys",
        [
            {"question": "q", "samples": ["x", "y"], "is_corrects": [True, False], "orig_dset_idx": 3},
            {"question": "q", "samples": ["z"], "is_correct": [False], "name": "math_2"},
        ],
        [
            {"prompt_id": "3", "candidate": 0, "correct": True, "text": "x"},
            {"prompt_id": "3", "candidate": 1, "correct": False, "text": "y"},
            {"prompt_id": "math_2", "candidate": 0, "correct": False, "text": "z"},
        ],
        facts={"iid": True},
    ),
    "lm-eval": Sample(
        "lm-eval",
        [_lm_eval(0, "4", 1.0), _lm_eval(1, "3", 0.0), _lm_eval(0, "44", 0.0, "flexible-extract")],
        [
            {
                "prompt_id": "0",
                "candidate": 0,
                "correct": True,
                "answer": "4",
                "text": "so 4",
                "sampling_temperature": 0.5,
            },
            {"prompt_id": "0", "candidate": 1, "text": "so 5", "sampling_temperature": 0.5},
            {
                "prompt_id": "1",
                "candidate": 0,
                "correct": False,
                "answer": "3",
                "text": "so 3",
                "sampling_temperature": 0.5,
            },
            {"prompt_id": "1", "candidate": 1, "text": "so 5", "sampling_temperature": 0.5},
        ],
        facts={"filter": "strict-match", "metric": "exact_match", "temperature": 0.5, "top_p": 0.9},
    ),
    "lm-eval other filter": Sample(
        "lm-eval",
        [_lm_eval(0, "4", 1.0), _lm_eval(0, "5", 0.0, "flexible-extract", ["so 5"])],
        [
            {
                "prompt_id": "0",
                "candidate": 0,
                "correct": False,
                "answer": "5",
                "text": "so 5",
                "sampling_temperature": 0.5,
            }
        ],
        ("--pick", "flexible-extract"),
    ),
    "inspect": Sample(
        "inspect",
        [
            _inspect(1, 1, "C"),
            _inspect(1, 2, "I"),
            _inspect("b", 2, True),
            _inspect("b", 1, "N", error={"message": "x"}),
        ],
        [
            {
                "prompt_id": "1",
                "candidate": 0,
                "correct": True,
                "answer": "a",
                "n_tokens": 3,
                "finish_reason": "stop",
                "text": "1/1",
            },
            {
                "prompt_id": "1",
                "candidate": 1,
                "correct": False,
                "answer": "a",
                "n_tokens": 3,
                "finish_reason": "stop",
                "text": "1/2",
            },
            {
                "prompt_id": "b",
                "candidate": 1,
                "correct": True,
                "answer": "a",
                "n_tokens": 3,
                "finish_reason": "stop",
                "text": "b/2",
            },
            {
                "prompt_id": "b",
                "candidate": 0,
                "correct": False,
                "answer": "a",
                "n_tokens": 3,
                "finish_reason": "stop",
                "text": "b/1",
            },
        ],
        facts={"scorer": "match", "model": "openai/m"},
    ),
    "inspect numbers": Sample(
        "inspect",
        [
            {
                "version": 2,
                "eval": {"model": "m", "model_generate_config": {"temperature": 0.75}},
                "samples": [_inspect("b", 1, "C")],
            }
        ],
        [
            {
                "prompt_id": "b",
                "candidate": 0,
                "reward": 0.5,
                "n_tokens": 3,
                "finish_reason": "stop",
                "text": "b/1",
                "sampling_temperature": 0.75,
            }
        ],
        ("--pick", "grade"),
        {"scorer": "grade", "reward_is_grade": True, "model": ["m", "openai/m"]},
    ),
    "every-eval-ever": Sample(
        "every-eval-ever",
        [_eee("s1", "is 4", 1.0), _eee("s1", "is 5", 0.25, answer_attribution=[]), _eee("s2", "", 0.0, output=None)],
        [
            {
                "prompt_id": "s1",
                "candidate": 0,
                "reward": 1.0,
                "correct": True,
                "answer": "4",
                "n_tokens": 2,
                "text": "is 4",
            },
            {"prompt_id": "s1", "candidate": 1, "reward": 0.25, "correct": False, "n_tokens": 2, "text": "is 5"},
            {"prompt_id": "s2", "candidate": 0, "reward": 0.0, "correct": False, "answer": "4", "n_tokens": 2},
        ],
        facts={"model": "org/m", "reward_is_grade": True, "iid": None},
    ),
    "human-eval": Sample(
        "human-eval",
        [
            {"task_id": "HumanEval/0", "completion": "  return 1", "result": "passed", "passed": True},
            {"task_id": "HumanEval/0", "completion": "  return 2", "result": "failed: ", "passed": False},
            {"task_id": 7, "solution": "def f(): pass"},
        ],
        [
            {"prompt_id": "HumanEval/0", "candidate": 0, "correct": True, "text": "  return 1"},
            {"prompt_id": "HumanEval/0", "candidate": 1, "correct": False, "text": "  return 2"},
            {"prompt_id": "7", "candidate": 0, "text": "def f(): pass"},
        ],
    ),
    "rsd": Sample(
        "rsd",
        [
            {"idx": 0, "code": ["s\n\n4"], "pred": ["4"], "score": [True], "token_counts": [3, 4, 5], "reward": [0.7]},
            {"idx": 1, "code": ["a", "b"], "pred": ["", "5"], "score": [False, True], "token_counts": [1, 2, 0]},
        ],
        [
            {"prompt_id": "0", "candidate": 0, "correct": True, "answer": "4", "n_tokens": 7, "text": "s\n\n4"},
            {"prompt_id": "1", "candidate": 0, "correct": False, "answer": "", "text": "a"},
            {"prompt_id": "1", "candidate": 1, "correct": True, "answer": "5", "text": "b"},
        ],
    ),
    "its-hub": Sample(
        "its-hub",
        [
            {"unique_id": "u", "budget": 1, "response": "3", "correct": False},
            {"unique_id": "u", "budget": 4, "response": "4", "correct": True},
        ],
        [
            {"prompt_id": "u", "candidate": 0, "correct": False, "text": "3"},
            {"prompt_id": "u", "candidate": 1, "correct": True, "text": "4"},
        ],
        facts={"iid": False},
    ),
    "its-hub particles": Sample(
        "its-hub",
        [{"unique_id": "u", "budget": 2, "responses": ["4", "4"], "log_probs": [3.5, -1.0], "correct": 0.75}],
        [{"prompt_id": "u", "candidate": 0, "text": "4"}, {"prompt_id": "u", "candidate": 1, "text": "4"}],
        ("--not-iid",),
        {"iid": False},
    ),
    "table under its own names": Sample(
        "table",
        [
            {"prompt_id": 1, "reward": "0.75", "correct": 1.0, "answer": 42, "other": [1]},
            {"prompt_id": 1, "reward": 0.5, "correct": "I", "answer": None},
        ],
        [
            {"prompt_id": "1", "candidate": 0, "reward": 0.75, "correct": True, "answer": "42"},
            {"prompt_id": "1", "candidate": 1, "reward": 0.5, "correct": False},
        ],
        facts={"iid": None},
    ),
    "table exploded": Sample(
        "table",
        [{"q": {"id": 9}, "outs": ["a", "b"], "s": [[0.5, 0.25], [0.75]], "v": [{"ok": "C"}, {"ok": "I"}], "t": "1.5"}],
        [
            {"prompt_id": "9", "candidate": 0, "reward": 0.25, "correct": True, "gold_reward": 1.5, "text": "a"},
            {"prompt_id": "9", "candidate": 1, "reward": 0.75, "correct": False, "gold_reward": 1.5, "text": "b"},
        ],
        (
            "--explode",
            "outs,s,v",
            "--map",
            "prompt_id=q.id",
            "--map",
            "text=outs",
            "--map",
            "reward=s:min",
            "--map",
            "correct=v.ok",
            "--map",
            "gold_reward=t",
        ),
    ),
    "table indices": Sample(
        "table",
        [{"idx": 0, "pred_score": [[3.5], [2.5, 1.5]], "lp": [None, -1.0, -2.0], "content": [{"logprob": -0.5}]}],
        [
            {
                "prompt_id": "0",
                "candidate": 0,
                "logp_draft": -3.0,
                "reward": 1.5,
                "n_tokens": 1,
                "token_logp_draft": [-0.5],
            }
        ],
        (
            "--map",
            "prompt_id=idx",
            "--map",
            "reward=pred_score.1.-1",
            "--map",
            "logp_draft=lp:sum",
            "--map",
            "token_logp_draft=content.*.logprob",
        ),
    ),
    "table counts": Sample(
        "table",
        [
            {"task": "a", "n": 10_000, "c": 37},
            {"task": "b", "n": "4", "c": 0.0},
            {"task": "d", "n": 3, "c": 3},
            {"task": "a", "n": 2, "c": 1},
        ],
        [
            _counted("a", True, 37),
            _counted("a", False, 9963, 37),
            _counted("b", False, 4),
            _counted("d", True, 3),
            _counted("a", True, 1, 10_000),
            _counted("a", False, 1, 10_001),
        ],
        ("--map", "prompt_id=task", "--counts", "n,c"),
    ),
    "table of two models": Sample(
        "table",
        [
            {"p": "a", "who": "small", "lp": [-1.0, -9999.0], "r": 1},
            {"p": "a", "who": "large", "lp": [-2.0, -0.5], "r": 0},
        ],
        [
            {
                "prompt_id": "a",
                "source": "draft",
                "candidate": 0,
                "logp_draft": -1.0,
                "logp_base": -float("inf"),
                "reward": 1.0,
            },
            {"prompt_id": "a", "source": "base", "candidate": 0, "logp_draft": -2.0, "logp_base": -0.5, "reward": 0.0},
        ],
        (
            "--map",
            "prompt_id=p",
            "--map",
            "source=who:small=draft,large=base",
            "--map",
            "logp_draft=lp.0",
            "--map",
            "logp_base=lp.1",
            "--map",
            "reward=r",
        ),
    ),
}
