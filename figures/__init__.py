"""Figures and the report: drawn from artifacts, nothing is computed here.

`report.build_report` writes the pages with their figures.
"""
