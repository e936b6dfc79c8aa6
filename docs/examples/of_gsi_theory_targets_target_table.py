import numpy as np

from gsi_theory import Instance, Scheme, gsi_law
from gsi_theory.targets.target_table import target_named, target_names

instance = Instance.from_probabilities(draft=[0.5, 0.3, 0.2], base=[0.2, 0.3, 0.5], reward=[0.1, 0.6, 0.9])
print(target_names(), target_named("chi2").words)
print(np.exp(gsi_law(instance, Scheme(beta=5.0, n=8, target="chi2")).log_prob))
