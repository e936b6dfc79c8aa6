import numpy as np

from gsi_theory.estimate import leave_one_out, subset_mean

rng = np.random.default_rng(0)
reward = rng.random(64)  # of 64 draws for one prompt
log_weight = 5.0 * reward
estimate = subset_mean(reward, log_weight, ns=[1, 4, 16], rule="softmax")  # an Estimate: of soft best-of-n
for n, value, error in zip([1, 4, 16], estimate.value, estimate.stderr, strict=True):
    print(f"n = {n}: {value:.3f} ± {error:.3f}")
print(leave_one_out(reward, log_weight, ns=[4]).deviation.shape)  # each draw's share in the error
