import numpy as np

from gsi_theory.divergence import chi2, hockey_stick, kl, renyi, tv

p, q = np.log([0.2, 0.3, 0.5]), np.log([0.5, 0.3, 0.2])  # log-probabilities, in reading order: chi2(p, q) is χ²(p‖q)
print(kl(p, q), tv(p, q), chi2(p, q), renyi(p, q, order=2.0), hockey_stick(p, q, gamma=2.0))
print(kl(p, np.log([0.5, 0.5, 1e-300])))  # finite as long as q has any mass
with np.errstate(divide="ignore"):
    print(kl(p, np.log([0.5, 0.5, 0.0])))  # inf: p has mass where q has none
