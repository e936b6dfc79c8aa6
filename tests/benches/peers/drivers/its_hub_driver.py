"""its_hub, driven with a language model that is a table and a reward model that is another."""

import itertools
import re

from driver_protocol import pick, serve
from its_hub import AbstractLanguageModel, AbstractOrchestrator, AdaptiveSelfConsistency, BestOfN, SelfConsistency
from its_hub.api import AbstractOutcomeRewardModel, AbstractProcessRewardModel
from its_hub.core.algorithms.particle_gibbs import ParticleFiltering, ParticleGibbs
from its_hub.core.algorithms.self_consistency import create_regex_projection_function
from its_hub.core.lms.step_generation import StepGeneration


class Answers(AbstractLanguageModel):
    """Whole responses `texts`, drawn by `chances`, or in the order `sequence` over and over."""

    def __init__(self, texts, chances=None, sequence=None):
        self.texts, self.chances, self.turn = texts, chances, itertools.cycle(sequence or [0])

    async def agenerate(self, messages, stop=None, **kwargs):
        raise NotImplementedError

    async def agenerate_single(self, messages, stop=None, **kwargs):
        index = pick(self.chances) if self.chances else next(self.turn)
        return {"role": "assistant", "content": self.texts[index]}


class Plain(AbstractOrchestrator):
    """One call after another."""

    async def agenerate(self, lm, messages_lst, stop=None, **kwargs):
        return [await lm.agenerate_single(messages, stop) for messages in messages_lst]


class Rewards(AbstractOutcomeRewardModel):
    """The reward of a response, by its text."""

    def __init__(self, table):
        self.table = table

    def score(self, messages, **kwargs):
        raise NotImplementedError

    async def ascore(self, messages, orchestrator=None, **kwargs):
        return [self.table[conversation[-1].content] for conversation in messages]


def best_of_n(texts, chances, rewards, n):
    algorithm = BestOfN(Rewards(dict(zip(texts, rewards, strict=True))), Plain())
    lm = Answers(texts, chances)
    return lambda: texts.index(algorithm.infer(lm, "?", n)["content"])


def self_consistency(texts, n, chances=None, sequence=None, patterns=None, threshold=None):
    project = create_regex_projection_function(patterns) if patterns else None
    if threshold is None:
        algorithm = SelfConsistency(project, orchestrator=Plain())
    else:
        algorithm = AdaptiveSelfConsistency(threshold, project, orchestrator=Plain())
    lm = Answers(texts, chances, sequence)
    return lambda: texts.index(algorithm.infer(lm, "?", n)["content"])


class Steps(AbstractLanguageModel):
    """Steps "0", "1", … drawn by `first`, then by `after[last step]`, with " #" after the `length`-th step, or after
    any step in `stops`."""

    def __init__(self, first, after, length, stops=()):
        self.first, self.after, self.length, self.stops = first, after, length, stops

    async def agenerate(self, messages, stop=None, **kwargs):
        return [self.step(each) for each in messages]

    def step(self, messages):
        before = re.findall(r"\d", messages[-1].content) if messages[-1].role == "assistant" else []
        index = pick(self.after[int(before[-1])] if before else self.first)
        ends = len(before) + 1 == self.length or index in self.stops
        return {"role": "assistant", "content": f"{index} #" if ends else f"{index}"}


class StepScores(AbstractProcessRewardModel):
    """The score of a prefix, by its digits."""

    def __init__(self, table):
        self.table = table

    def score(self, prompt_or_messages, steps):
        raise NotImplementedError

    async def ascore(self, prompt_or_messages, steps):
        return [self.table["".join(re.findall(r"\d", each))] for each in steps]


def _digits(response):
    return "".join(re.findall(r"\d", response["content"]))


def particles(first, after, length, scores, outcomes, n, method, stops=(), **options):
    sg = StepGeneration(max_steps=10, step_token="\n", stop_token="#")
    algorithm = {"filtering": ParticleFiltering, "gibbs": ParticleGibbs}[method](sg, StepScores(scores), **options)
    lm = Steps(first, after, length, stops)
    return lambda: outcomes.index(_digits(algorithm.infer(lm, "?", n)))


def count_steps(max_steps, scores):
    sg = StepGeneration(max_steps=max_steps, step_token="\n")
    algorithm = ParticleFiltering(sg, StepScores(scores))
    lm = Steps([1.0], [[1.0]], length=-1)
    return lambda: len(_digits(algorithm.infer(lm, "?", 1)))


if __name__ == "__main__":
    functions = (best_of_n, self_consistency, particles, count_steps)
    serve({each.__name__: each for each in functions})
