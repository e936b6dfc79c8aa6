"""Speed of laws, estimators, samplers and the runner: run each with `python -m sims.benches.NAME`."""
