"""Several steps: trees, trajectories, soft values, switching, tournaments."""
