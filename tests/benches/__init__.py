"""Measurements behind the numbers we state: run each with `python -m tests.benches.NAME`."""
