"""Faults planted in pools on purpose, and pools to plant them in."""
