"""dspy, driven with a language model that is a table and modules that fail by chance."""

import logging
import random
import warnings
from types import SimpleNamespace

import dspy
from driver_protocol import pick, serve

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)
dspy.configure(disable_history=True)


class Table(dspy.BaseLM):
    """Answers by chances^(1/temperature)."""

    def __init__(self, texts, chances, temperature):
        super().__init__("table", temperature=temperature, cache=False)
        self.texts, self.chances = texts, chances

    def forward(self, prompt=None, messages=None, **kwargs):
        temperature = kwargs.get("temperature", self.kwargs["temperature"])
        answer = self.texts[pick([p ** (1.0 / temperature) for p in self.chances])]
        message = SimpleNamespace(content=f"[[ ## answer ## ]]\n{answer}\n\n[[ ## completed ## ]]", tool_calls=None)
        choice = SimpleNamespace(message=message, finish_reason="stop", index=0)
        return SimpleNamespace(choices=[choice], usage={}, model="table")


class Failing(dspy.Module):
    """An answer by chances, or an exception with probability `failure`."""

    def __init__(self, texts, chances, failure):
        super().__init__()
        self.predict = dspy.Predict("question -> answer")
        self.texts, self.chances, self.failure = texts, chances, failure

    def forward(self, question):
        if random.random() < self.failure:
            raise RuntimeError("no answer")
        return dspy.Prediction(answer=self.texts[pick(self.chances)])


def best_of_n(texts, chances, rewards, n, threshold=2.0, temperature=1.0):
    reward = dict(zip(texts, rewards, strict=True))
    dspy.configure(lm=Table(texts, chances, temperature))
    algorithm = dspy.BestOfN(
        dspy.Predict("question -> answer"), N=n, reward_fn=lambda _, pred: reward[pred.answer], threshold=threshold
    )
    return lambda: texts.index(algorithm(question="?").answer)


def failing(texts, chances, rewards, n, failure, fail_count=None, calls=1):
    """One call of a new BestOfN: the answer, none, or an exception; of several calls: how many return."""
    reward = dict(zip(texts, rewards, strict=True))
    dspy.configure(lm=Table(texts, chances, 1.0))

    def draw():
        algorithm = dspy.BestOfN(
            Failing(texts, chances, failure), N=n, reward_fn=lambda _, pred: reward[pred.answer], threshold=2.0,
            fail_count=fail_count,
        )  # fmt: skip
        for call in range(calls):
            try:
                best = algorithm(question="?")
            except RuntimeError:
                return call if calls > 1 else len(texts) + 1
        if calls > 1:
            return calls
        return len(texts) if best is None else texts.index(best.answer)

    return draw


def majority(texts, n, chances=None, sequence=None):
    def draw():
        drawn = sequence or [pick(chances) for _ in range(n)]
        return texts.index(dspy.majority([{"answer": texts[index]} for index in drawn]).answer)

    return draw


if __name__ == "__main__":
    serve({each.__name__: each for each in (best_of_n, failing, majority)})
