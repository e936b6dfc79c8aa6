"""Runs: artifacts, journals, settings, progress, costs, the commands of `gsi`."""
