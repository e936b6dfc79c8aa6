"""Mutation testing: small changes planted in the code, each of which some test should notice. `make mutants` runs it.

Which changes: `places` (the operators of cosmic-ray, sampled by room and module). Which tests: `covering` (coverage of
each test, line by line). What came of it: `trial`, kept one by one in a journal, so that an interrupted run goes on.
Survivors that no test can tell from the code are listed in equivalent.txt, each with its reason.
"""
