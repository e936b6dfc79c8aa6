"""Experiments on finite instances: exact laws against sampling, bounds against n, verdicts on every claim."""
