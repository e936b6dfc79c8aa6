"""Pools of language models: collected part by part, with provenance."""
