"""A log of one model or two as the checks see it that need no log-probabilities: rows in order, facts, what was drawn.

Draws stand in `arrays` by position, source and candidate; a row of a one-model log may stand for `count` draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gsi_theory.types import Flags, Floats, Ints, Record
from llm_check.logs.log import Log
from llm_check.logs.pools.independence import sorted_by, stopped_by
from llm_check.logs.pools.pool import Pool
from llm_check.logs.pools.position_arrays import PositionArrays, pair_codes, position_arrays, same_text_codes

__all__ = ["LogView", "view_of_log", "view_of_pool"]

SURPRISE = float(np.log(1000.0))  # nats, of an order that chance does not make
SHORT = 24  # characters or tokens: shorter draws of unlike prompts are alike by chance


@dataclass(frozen=True)
class LogView:
    """models: 1 (also where a pool's columns are a placeholder) or 2; metadata: what produced the log;
    prompts_left_out: for bad rows, by who read or wrote it."""

    arrays: PositionArrays
    models: int
    metadata: Record
    prompts_left_out: int = 0

    @property
    def facts(self) -> Record:
        """What the file says of its draws."""
        facts = self.metadata.get("facts")
        return dict(facts) if isinstance(facts, Mapping) else {}

    @property
    def counted(self) -> bool:
        """Whether some row stands for several draws, which are then in no order."""
        return self.arrays.has("count") and bool(np.nanmax(self.arrays.floats("count")) > 1)

    @cached_property
    def sorted_by(self) -> str | None:
        """The column by which the candidates are sorted, by no chance; None for none."""
        return None if self.counted else sorted_by(self.arrays.table, SURPRISE, (self.arrays.order, self.arrays.starts))

    @cached_property
    def stopped_by(self) -> str | None:
        """The column whose success ended the draws of every prompt (M48); None for none."""
        sets = self.arrays.order, self.arrays.starts
        return None if self.counted else stopped_by(self.arrays.table, SURPRISE, levels=True, sets=sets)

    def values(self, name: str) -> Floats | None:
        """A number column in order, nulls as NaN; None where the log lacks it."""
        return self.arrays.floats(name) if self.arrays.has(name) else None

    @cached_property
    def prompt(self) -> Ints:
        """Code of each row's prompt, (R,)."""
        names = {name: code for code, name in enumerate(dict.fromkeys(prompt for prompt, _ in self.arrays.names))}
        code = np.array([names[prompt] for prompt, _ in self.arrays.names], dtype=np.int64)
        return code[self.arrays.position]

    @cached_property
    def own_log_prob(self) -> Floats | None:
        """Log-probability of each row under the model that drew it; None where a log of one model has none."""
        draft, base = self.values("logp_draft"), self.values("logp_base")
        if draft is None or base is None:
            return draft
        return np.where(self.arrays.is_base, base, draft)

    @cached_property
    def drawn(self) -> tuple[Ints, str, Flags]:
        """(code of what each row drew, equal across prompts; told by "token_ids", "text", "log-probabilities" or
        "reward"; whether the row is told from draws of other prompts at all)."""
        arrays = self.arrays
        every = np.arange(arrays.order.size)
        if arrays.has("token_ids") or arrays.has("text"):
            code, what = same_text_codes(arrays, every)
            lists = arrays.lists("token_ids")
            if lists is not None:
                size = lists.lengths
            else:
                column = arrays.column("text").combine_chunks()
                size = np.array([len(text or "") for text in column.to_pylist()])
            return code, what, np.asarray(size >= SHORT)
        names = [n for n in ("logp_draft", "logp_base", "n_tokens", "reward") if arrays.has(n)]
        code = np.zeros(every.size, dtype=np.int64)
        for name in names:
            code = pair_codes(code, (arrays.floats(name) + 0.0).view(np.int64))
        return code, "log-probabilities" if "logp_draft" in names else "reward", self._rare(code)

    def _rare(self, code: Ints) -> Flags:
        """Rows whose numbers hardly any other draw of their prompt has: what tells a draw from others."""
        inside = pair_codes(self.prompt, code)
        size = np.bincount(self.prompt)
        alike = np.bincount(inside)[inside] / size[self.prompt]
        distinct = np.unique(inside).size > 0.3 * code.size
        return np.asarray((alike <= np.maximum(0.25, 1.0 / size[self.prompt])) & distinct)


def view_of_pool(pool: Pool) -> LogView:
    """The view of a pool."""
    return LogView(pool.arrays, 2, pool.metadata, max(pool.prompts_left_out, _recorded(pool.metadata)))


def view_of_log(log: Log) -> LogView:
    """The view of a log of one model."""
    left = len({fault.prompt_id for fault in log.left_out if fault.prompt_id is not None})
    return LogView(position_arrays(log.table), 1, log.metadata, max(left, _recorded(log.metadata)))


def _recorded(metadata: Record) -> int:
    """Prompts that the import left out, as the file's provenance says."""
    left = metadata.get("left_out")
    prompts = left.get("prompts") if isinstance(left, Mapping) else None
    return int(prompts) if isinstance(prompts, int | float) and prompts > 0 else 0
