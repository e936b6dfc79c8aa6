from sims.experiment_record import PROFILES, Experiment, everywhere
from sims.experiments import EXPERIMENTS

experiment: Experiment = EXPERIMENTS["best_of_n_limit"]
print(experiment.question, PROFILES, experiment.defaults)
print(everywhere({"small": True, "large": False}))  # a finding: does it hold everywhere, and where not
