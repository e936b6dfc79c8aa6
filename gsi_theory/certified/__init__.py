"""Proofs in ball arithmetic: facts, laws and both sides of claims as rigorous enclosures."""
