"""Reward models, behind the contract of `llm_check.models.rewards.reward_model`."""
