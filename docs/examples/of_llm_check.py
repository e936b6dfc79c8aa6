import numpy as np

from gsi_theory.errors import InputError
from llm_check import curve, decode, doctor, plan, predict, read_log, read_pool

# a log of one model: 20 prompts, 32 draws each, with a reward and whether the answer is right
rng = np.random.default_rng(0)
skill = rng.beta(1, 2, 20)
rows = [
    {"prompt_id": f"p{p}", "candidate": c, "correct": bool(right), "reward": 0.5 * right + 0.5 * rng.random()}
    for p in range(20)
    for c, right in enumerate(rng.random(32) < skill[p])
]
log = read_log(rows)
print([finding.id for finding in doctor(log).findings])
curves = curve(log, ns=[1, 4, 16], select=["best_of_n", "pass_at_k"])
print(curves.record()["curves"][0]["mean"])
print(plan(log, ns=[1, 4, 8]).reason)

played = decode("gsi", n=2, problems=2)  # on the pair of tiny models that is built in; draft=, base=, reward= for yours
print(played.methods[0]["accuracy"])

try:
    predict(read_pool("drafts.parquet"))  # of two models, as `gsi pool` writes them
except InputError as error:
    print(error)
