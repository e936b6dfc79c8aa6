"""`gsi audit`: every claim over families, n, β and rewards; where bounds speak and how tight they are."""
