"""Pools: the file format, reading and checking it, importing other logs; the doctor, which says what is wrong with one.

Self-checks (balance, ratio, tokens, self_checks) run in evidence.py; causes.py and findings.py are tables of what they
mean; diagnosis.py is the answer. No torch here.
"""
