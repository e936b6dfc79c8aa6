import numpy as np

from gsi_theory import Instance, Scheme, gsi_law
from gsi_theory.conform import MISTAKES, ToyProblem, assert_samples, conform, conform_selector


def soft_best_of_n(problem: ToyProblem) -> int:
    drafts = problem.draw_draft(problem.n)
    scores = problem.beta * problem.reward[drafts] + problem.rng.gumbel(size=problem.n)
    return int(drafts[np.argmax(scores)])


conformance, costs = conform(soft_best_of_n, "soft_bon_draft", draws=1000)
print(conformance.conforms, conformance.tv_high, costs.drafts)  # a Conformance, and Costs
print(MISTAKES["beta_missing"].words)

# a selector sees a list of candidates and answers with a place in it
outcome = conform_selector(lambda listed: int(np.argmax(listed.reward)), "best_of_n", draws=1000)
print(outcome.conforms, outcome.nearest)  # what it is instead

# in a test of yours: AssertionError where the draws refute the law
instance = Instance.from_probabilities(draft=[0.5, 0.5], base=[0.2, 0.8], reward=[0.0, 1.0])
law = gsi_law(instance, Scheme(beta=2.0, n=4))
probabilities = np.exp(law.log_prob)
assert_samples(lambda rng: rng.choice(2, p=probabilities), probabilities, draws=2000)
