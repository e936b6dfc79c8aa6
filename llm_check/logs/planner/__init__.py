"""`gsi plan`: from a pool to rule, gate, n, β and threshold, with value, cost and guarantee. No torch here."""
