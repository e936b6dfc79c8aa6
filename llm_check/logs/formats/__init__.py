"""Logs of other engines and benches as logs of ours: one file a format, listed in `load_format.py`."""
