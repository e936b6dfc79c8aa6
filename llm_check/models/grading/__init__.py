"""Grading of solutions: reading final answers, and comparing them in worker processes under a time limit."""
