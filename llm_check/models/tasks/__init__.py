"""Tasks: problems with a checkable answer, and an exact checker of every step. Nothing here imports torch."""
