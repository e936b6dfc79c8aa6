import numpy as np

from gsi_theory import (
    Candidates,
    InputError,
    Instance,
    Scheme,
    gsi_law,
    selection_law,
    tilted_policy,
    tilted_reward,
    tv_curve,
)

# three possible answers: how likely the draft and the base model write each, and how good it is
instance = Instance.from_probabilities(draft=[0.5, 0.3, 0.2], base=[0.2, 0.3, 0.5], reward=[0.1, 0.6, 0.9])
print(np.exp(tilted_policy(instance, beta=5.0)))  # what should be sampled: base times e^(5·reward), normalized
print(tilted_reward(instance, beta=5.0))  # reward plus log(base/draft)/5

law = gsi_law(instance, Scheme(beta=5.0, n=4, threshold=0.5))  # what GSI with 4 drafts samples; a GsiLaw
print(np.exp(law.log_prob), law.p_accept, law.expectation(instance.reward), "± at most", law.error)

# one selection alone, from masses and log-weights; any rule of the table, or a Rule
drafts = instance.draft_candidates()
weights = 5.0 * drafts.reward + drafts.log_ratio
race = selection_law(drafts.log_mass, weights, n=4, rule="race")  # a Law
print(np.exp(race.log_prob), tv_curve(drafts.log_mass, weights, n=np.arange(1, 9), rule="race"))

# a pool of samples in place of an instance: mass 1/N each, the same call
pool = Candidates(np.full(3, -np.log(3)), instance.reward, np.zeros(3))
print(gsi_law((pool, pool), Scheme(beta=5.0, n=2, threshold=0.5)).p_accept)

try:
    Scheme(beta=-1.0, n=4)
except InputError as error:
    print(error)  # names the value and the cure
