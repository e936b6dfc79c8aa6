"""Measurements behind the numbers we state: run each with `python -m llm_check.benches.NAME`."""
