"""Pools: the file format, reading and checking it, collecting and importing one. No torch but in `collect`."""
