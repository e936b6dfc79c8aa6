"""Formats of logs by name: one table, each format one record in one file."""

from __future__ import annotations

from gsi_theory.errors import Named
from llm_check.logs.formats.every_eval_ever import EVERY_EVAL_EVER
from llm_check.logs.formats.human_eval import HUMAN_EVAL
from llm_check.logs.formats.inspect import INSPECT
from llm_check.logs.formats.its_hub import ITS_HUB
from llm_check.logs.formats.lm_eval import LM_EVAL
from llm_check.logs.formats.log_format import LogFormat
from llm_check.logs.formats.mapped_table import TABLE
from llm_check.logs.formats.monkeys import MONKEYS
from llm_check.logs.formats.openai import OPENAI
from llm_check.logs.formats.rsd import RSD
from llm_check.logs.formats.search_and_learn import SEARCH_AND_LEARN
from llm_check.logs.formats.sglang import SGLANG
from llm_check.logs.formats.tgi import TGI
from llm_check.logs.formats.vllm import VLLM

__all__ = ["FORMATS"]

_MEMBERS = (
    VLLM, SGLANG, OPENAI, TGI, SEARCH_AND_LEARN, MONKEYS, LM_EVAL, INSPECT, EVERY_EVAL_EVER, HUMAN_EVAL, RSD, ITS_HUB,
    TABLE,
)  # fmt: skip
FORMATS: dict[str, LogFormat] = Named("format", {member.name: member for member in _MEMBERS})
