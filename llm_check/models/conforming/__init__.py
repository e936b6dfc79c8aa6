"""Do engines and generation loops draw from the law of their model? What `gsi conform lm` does."""
