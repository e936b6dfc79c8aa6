"""The documentation site: `make docs` builds it. Pages that tables, docstrings or claims decide are written by
`python -m docs.pages`, the rest stands here as MyST Markdown."""
