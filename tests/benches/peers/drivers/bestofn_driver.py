"""bestofn, whose selectors take a pool of answers: a pool in random order, or drawn by chances."""

import random
import warnings

from bestofn import Sample, select
from driver_protocol import pick, serve

warnings.simplefilter("ignore")  # says once that answers are compared as text


def selected(answers, method, n=0, chances=None, pool=None, scores=None, logprobs=None):
    def draw():
        drawn = list(pool) if pool else [pick(chances) for _ in range(n)]
        random.shuffle(drawn)
        given = [
            Sample(answers[y], score=scores and scores[y], logprob=logprobs and logprobs[y]) for y in drawn
        ]  # fmt: skip
        return answers.index(select(given, method))

    return draw


if __name__ == "__main__":
    serve({"selected": selected})
