"""Engines: language models as laws of the next step, behind the contract of `llm_check.models.engines.engine`."""
