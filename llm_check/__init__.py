"""Language models: engines, reward models, tasks, pools, decoding, prediction against measurement.

Everything right of the pool file (`llm_check.logs.pools.pool` and what reads pools) imports no torch, so this package
imports nothing on its own: import the module that holds what you need.
"""

from gsi_theory import moved

__all__ = ["moved"]
