import numpy as np

from gsi_theory.limits import best_of_n_reward, best_reward, best_tv, best_tv_adaptive, best_tv_two, fixed_n_loss

target, draft, base = np.log([0.1, 0.2, 0.7]), np.log([0.5, 0.3, 0.2]), np.log([0.2, 0.3, 0.5])
print(best_tv(target, draft, n=4))  # no rule that returns one of 4 drafts comes nearer to the target
print(best_tv_adaptive(target, draft, n=4.0))  # nor one that stops when it likes, after 4 drafts on average
print(best_tv_two(target, draft, base, n=4, m=1))  # nor one that sees 4 drafts and a base draw

reward = np.array([0.1, 0.6, 0.9])
print(best_of_n_reward(reward, draft, n=4), best_reward(reward, draft, n=4.0), fixed_n_loss(reward, draft, n=4.0))
