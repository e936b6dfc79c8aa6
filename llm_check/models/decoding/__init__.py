"""Methods on language models: candidates of a step, selection, whole solutions. Nothing here imports torch."""
