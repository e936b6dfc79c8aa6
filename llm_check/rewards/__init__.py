"""Reward models, behind the contract of `llm_check.rewards.contract`."""
