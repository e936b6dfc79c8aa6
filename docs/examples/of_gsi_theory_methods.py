import numpy as np

from gsi_theory import Instance, Scheme
from gsi_theory.methods import METHODS, Method, gsi, named_method, rsd, speculative

instance = Instance.from_probabilities(draft=[0.5, 0.3, 0.2], base=[0.2, 0.3, 0.5], reward=[0.1, 0.6, 0.9])
scheme = Scheme(beta=5.0, n=4, threshold=0.5)
for method in METHODS.values():
    if method.pair_alone:  # those that need nothing but a draft and a base
        print(f"{method.id:20} {np.exp(method.law(instance, scheme).log_prob) @ instance.reward:.4f}")

print(gsi(instance, scheme).log_prob, rsd(instance, scheme).log_prob, speculative(instance, scheme).log_prob)
print(named_method("gsi") is METHODS["gsi"])

# a method of your own is a record: race rule, gate on the tilted reward, one base draw where it rejects
mine = Method("mine", "mine", "M4, M6", "–", "draft", rule="race", gate="tilted_reward", n_base=1)
print(mine.law(instance, scheme).log_prob)
