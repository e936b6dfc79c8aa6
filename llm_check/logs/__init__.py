"""From a log to an answer: pools, diagnosis, prediction, planner. Nothing here imports torch."""
