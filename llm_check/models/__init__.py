"""Language models at work: engines, reward models, tasks, decoding, checks against predictions."""
