"""genlm-control, driven with potentials that are tables over the tokens b"a" and b"b".

Weighted sequences become draws: with the mean weight W of a run and a bound M of it, the run is kept with probability
W/M and a sequence drawn in proportion to its weight. Proper weighting, E(mean of w f) = Σ γ f, is then a law: γ(x)/M.
"""

import asyncio
import random

import numpy as np
from driver_protocol import pick, serve
from genlm.control import AWRS, SMC, Potential, direct_token_sampler
from genlm.control.constant import EOS
from genlm.control.sampler import eager_token_sampler, topk_token_sampler

LETTERS = {97: "a", 98: "b"}


def _text(context):
    return "".join(LETTERS[item] if isinstance(item, int) else item.decode() for item in context)


class Chain(Potential):
    """A language model: `first` and `after[last letter]` are chances of a, b and the end."""

    def __init__(self, first, after, vocabulary):
        super().__init__(vocabulary)
        self.first, self.after = first, after

    def _step(self, text, letter):
        row = self.after["ab".index(text[-1])] if text else self.first
        return np.log(row["ab$".index(letter)])

    async def prefix(self, context):
        text = _text(context)
        return sum(self._step(text[:t], text[t]) for t in range(len(text)))

    async def complete(self, context):
        return await self.prefix(context) + self._step(_text(context), "$")


class Table(Potential):
    """Weights of prefixes and of whole texts, 1 where none is given."""

    def __init__(self, prefixes, texts, vocabulary):
        super().__init__(vocabulary)
        self.prefixes, self.texts = prefixes, texts

    async def prefix(self, context):
        with np.errstate(divide="ignore"):
            return float(np.log(self.prefixes.get(_text(context), 1.0)))

    async def complete(self, context):
        with np.errstate(divide="ignore"):
            return float(np.log(self.texts.get(_text(context), 1.0)))


def smc(model, outcomes, bound, n, ess, max_tokens=3, sampler="direct", proposal=None, table=None, critic=None,
        stop=None, resampling="multinomial", **options):  # fmt: skip
    tokens = [b"a", b"b"]
    chain = Chain(*model, tokens)
    other = Chain(*proposal, tokens) if proposal else None
    if sampler == "direct":
        target = chain * Table(*table, tokens) if table else chain
        unit = direct_token_sampler(target, other)
    elif sampler == "awrs":
        unit = AWRS(chain, Table(*table, tokens), proposal=other, **options)
    else:
        items = Table(*table, [97, 98])
        unit = eager_token_sampler(chain, items) if sampler == "eager" else topk_token_sampler(chain, items, **options)
    run = SMC(unit, Table(*critic, tokens) if critic else None)
    loop = asyncio.new_event_loop()
    terminate = {"terminate_when": lambda context: _text(context) == stop} if stop else {}

    def draw():
        sequences = loop.run_until_complete(run(n, ess, max_tokens, resampling_method=resampling, **terminate))
        weight = float(np.exp(sequences.log_ml))
        assert weight <= bound * (1.0 + 1e-9), (weight, bound)
        if random.random() * bound >= weight:
            return outcomes.index("none")
        context = sequences.contexts[pick(list(sequences.normalized_weights))]
        assert context[-1] == EOS, context
        return outcomes.index(_text(context[:-1]))

    return draw


if __name__ == "__main__":
    serve({"smc": smc})
