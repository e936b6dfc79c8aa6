"""The columns of a pool: names, types, units, meaning; `python -m llm_check.logs.pools.schema` prints them.

A log of one model (source "one") has the same columns, of which `ONE_REQUIRED` alone are required; step is 0 and source
"one" where a file leaves them out, `logp_draft` is the log-probability under the one model. There a row may stand for
`count` draws that are alike, numbered candidate, candidate + 1, ...: ten thousand graded draws of a prompt are two
rows. A log of two models without log-probabilities (sources "draft" and "base", neither `logp_draft` nor `logp_base`)
needs `CASCADE_REQUIRED`.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

__all__ = ["CASCADE_REQUIRED", "FIELDS", "ONE", "ONE_REQUIRED", "REQUIRED", "SCHEMA", "SOURCES", "VALUES", "Field"]

SOURCES = ("draft", "base")
# A log of one model: the source of its rows, what each must have, and what at least one of must be there to choose by.
ONE, ONE_REQUIRED, VALUES = "one", ("prompt_id", "candidate"), ("reward", "correct", "answer")
# A log of two models that nobody scored with the other: what defers to the base by the reward alone.
CASCADE_REQUIRED = ("prompt_id", "source", "candidate", "reward")


@dataclass(frozen=True)
class Field:
    """One column of a pool."""

    name: str
    type: pa.DataType
    required: bool
    unit: str
    meaning: str


SCHEMA: tuple[Field, ...] = (
    Field("prompt_id", pa.string(), True, "", "the problem or prompt"),
    Field("step", pa.int32(), True, "", "position within the solution, from 0; all rows of a position share a prefix"),
    Field(
        "source",
        pa.string(),
        True,
        "",
        'the model that drew the candidate: "draft" or "base"; "one" where there is one',
    ),
    Field("candidate", pa.int32(), True, "", "number of the draw within (prompt_id, step, source), from 0"),
    Field("logp_draft", pa.float64(), True, "nats", "log-probability of the whole step under the draft"),
    Field("logp_base", pa.float64(), True, "nats", "log-probability of the whole step under the base"),
    Field("reward", pa.float64(), True, "reward", "reward of the step, from the reward model"),
    Field("gold_reward", pa.float64(), False, "reward", "reward of the step, from an exact checker"),
    Field("correct", pa.bool_(), False, "", "whether the whole solution that the step belongs to is right"),
    Field("answer", pa.string(), False, "", "the final answer, as graders and votes compare it; null: none was found"),
    Field("label_chance", pa.float64(), False, "", "chance that the draw's label (gold_reward, correct) was bought"),
    Field("count", pa.int64(), False, "draws", "draws that the row stands for, one-model logs only; null: 1"),
    Field("n_tokens", pa.int32(), False, "tokens", "length of the step"),
    Field("finish_reason", pa.string(), False, "", 'why the step ended: "stop", "eos" or "length" (cut by the cap)'),
    Field("text", pa.string(), False, "", "the step as text"),
    Field("token_ids", pa.list_(pa.int32()), False, "", "the step as token ids"),
    Field("token_logp_draft", pa.list_(pa.float64()), False, "nats", "log-probability of each token, draft"),
    Field("token_logp_base", pa.list_(pa.float64()), False, "nats", "log-probability of each token, base"),
    Field("sampling_temperature", pa.float64(), False, "", "temperature the candidates were drawn at, one per pool"),
)
FIELDS = {field.name: field for field in SCHEMA}
REQUIRED = tuple(field.name for field in SCHEMA if field.required)

if __name__ == "__main__":
    for field in SCHEMA:
        need = "required" if field.required else "optional"
        print(f"{field.name:<21} {field.type!s:<22} {need:<9} {field.unit:<7} {field.meaning}")
