"""Slow, obvious oracles: nothing here imports the project, so agreement with it is evidence.

`enumeration` sums over every multiset of candidates, `limit_lp` solves for the best selection rule, and
`balls` returns guaranteed enclosures at any number of candidates.  Bad input raises a plain ValueError: the
project's own exception would be project code.
"""
