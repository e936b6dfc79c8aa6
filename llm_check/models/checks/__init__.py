"""The checks of `gsi check`: measured against exact or predicted, with verdicts over many comparisons."""
