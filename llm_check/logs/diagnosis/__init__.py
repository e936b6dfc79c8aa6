"""`gsi doctor`: self-checks of a pool, what they point to, and the faults they are measured with."""
