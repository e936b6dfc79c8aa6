"""The search for counterexamples: climbing, judging, shrinking, and the card of what was found."""
