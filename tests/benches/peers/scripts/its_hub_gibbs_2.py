from its_hub import AbstractLanguageModel
from its_hub.api import AbstractProcessRewardModel
from its_hub.core.algorithms.particle_gibbs import ParticleGibbs
from its_hub.core.lms.step_generation import StepGeneration


class Model(AbstractLanguageModel):
    async def agenerate(self, messages, stop=None, **kwargs):
        return [{"role": "assistant", "content": "b #" if each[-1].role == "assistant" else "a"} for each in messages]


class Scores(AbstractProcessRewardModel):
    def score(self, prompt, steps): ...

    async def ascore(self, prompt, steps):
        return [0.9 if "b" in each else 0.5 for each in steps]  # the same for all particles at each step


class Watched(ParticleGibbs):
    def _resampling(self, particles, probabilities, num_particles):
        print([f"{p:.1f}" for p in probabilities])  # of iterations 1, 1, 2, 2; the reference particle stands last
        return super()._resampling(particles, probabilities, num_particles)


Watched(StepGeneration(9, "\n", "#"), Scores(), num_iterations=2).infer(Model(), "?", budget=4)
