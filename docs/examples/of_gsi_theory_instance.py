from gsi_theory import Instance
from gsi_theory.instance import beta_times, log_weight, tilted_rewards

instance = Instance.from_probabilities(draft=[0.5, 0.5], base=[0.2, 0.8], reward=[0.0, 1.0])
drafts = instance.draft_candidates()
print(log_weight(drafts, beta=2.0), beta_times(drafts.reward, 2.0) + drafts.log_ratio)  # the same, in nats
print(tilted_rewards(drafts.reward, drafts.log_ratio, 2.0))  # that over β, in reward units
