"""Methods on language models: a table of them (`table`), and one step of any (`step`). Nothing here imports torch."""
