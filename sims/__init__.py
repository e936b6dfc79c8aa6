"""Experiments on finite instances: exact laws against sampling, bounds against n, the audit of every claim."""
