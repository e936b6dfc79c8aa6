import random

from its_hub import AbstractLanguageModel
from its_hub.api import AbstractProcessRewardModel
from its_hub.core.algorithms.particle_gibbs import ParticleFiltering
from its_hub.core.lms.step_generation import StepGeneration


class Coin(AbstractLanguageModel):
    async def agenerate(self, messages, stop=None, **kwargs):
        return [{"role": "assistant", "content": random.choice("01") + " #"} for _ in messages]


class Scores(AbstractProcessRewardModel):
    def score(self, prompt, steps): ...

    async def ascore(self, prompt, steps):
        return [0.75 if "1" in step else 0.25 for step in steps]


random.seed(0)
filtering = ParticleFiltering(StepGeneration(9, "\n", "#"), Scores(), final_response_selection="sample")
ones = sum("1" in filtering.infer(Coin(), "?", budget=2)["content"] for _ in range(20_000)) / 20_000
print(f"1 comes {ones:.3f} of 20,000; weighed once {1 / 4 + 0.9 / 2:.3f}, twice {1 / 4 + (0.81 + 0.18 * 0.9) / 2:.3f}")
