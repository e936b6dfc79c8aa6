"""Figures and the report: drawn from artifacts, nothing is computed here.

`report.build_report` writes the page with its figures, `plots.save_figures` the figures alone. The only project code
imported is the artifact reader and writer and the one exception.
"""
