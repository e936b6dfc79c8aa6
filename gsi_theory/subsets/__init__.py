"""Means over all subsets of a pool, by rule (M31); `gsi_theory.estimate` is the way in."""
