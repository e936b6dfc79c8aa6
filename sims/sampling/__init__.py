"""Monte Carlo samplers, vectorized over NumPy or torch; they share no code with the exact laws."""
