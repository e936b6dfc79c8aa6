"""A small world for tests of decoding: two or three random transformers, a reward, one enumerated position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gsi_theory import Instance
from gsi_theory.arrays.logscale import normalize
from llm_check.models.collecting.collect import positions
from llm_check.models.decoding.positions import Position
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.tasks.arithmetic import make_problems
from llm_check.models.tiny.enumeration import StepTrie, enumerate_steps, score_trie
from tests.llm_check.models.engines.test_transformers_engine import RULE

SHORT = replace(RULE, max_tokens=3)


class ToyReward:
    """A reward in [0, 1] that depends on the step's tokens and the prefix's length, and counts what it judged."""

    name, low, high = "toy", 0.0, 1.0

    def __init__(self) -> None:
        self.judged = 0

    def score(self, places: Sequence[Position], steps: Sequence[Sequence[int]]) -> np.ndarray:
        self.judged += len(steps)
        sums = [sum((k + 3) * token for k, token in enumerate(step)) for step in steps]
        lengths = [len(place.prefix) for place in places]
        return 0.5 + 0.5 * np.sin(np.array(sums) + np.array(lengths))


@dataclass(frozen=True)
class Enumerated:
    """A position with all its next steps: the draft's trie, the instance on its leaves, each further engine's law."""

    place: Position
    trie: StepTrie
    instance: Instance
    log_drafters: np.ndarray


def enumerated(
    draft: TransformersEngine, base: TransformersEngine, further: Sequence[TransformersEngine]
) -> Enumerated:
    """The step after the first reference step of a test problem, cut at 3 tokens."""
    place = positions(make_problems(1, 0, "test"), draft.tokenizer, (1,))[0]
    prefix = list(place.prefix)
    trie = enumerate_steps(draft, prefix, SHORT)
    logs = [trie.logp, *(score_trie(engine, prefix, trie) for engine in (base, *further))]
    assert all(abs(np.exp(log).sum() - 1.0) < 1e-6 for log in logs)
    reward = ToyReward().score([place] * len(trie.steps), trie.steps)
    drafters = np.stack([normalize(logs[0]), *(normalize(log) for log in logs[2:])])
    return Enumerated(place, trie, Instance(drafters[0], normalize(logs[1]), reward), drafters)
