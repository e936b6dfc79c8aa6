from its_hub.core.algorithms.particle_gibbs import ParticleFiltering, ParticleGibbs
from its_hub.core.lms.step_generation import StepGeneration

steps = StepGeneration(max_steps=2, step_token="\n")
print(ParticleFiltering(steps, None, resampling_method="systematic").resampling_method)
print(ParticleGibbs(steps, None, resampling_method="systematic").resampling_method)
