"""From a pool of samples: estimates, intervals, how far they speak."""
