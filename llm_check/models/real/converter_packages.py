"""The packages that turn a file of quantized weights into a checkpoint: asked for before anything is fetched."""

from __future__ import annotations

import importlib.util

from gsi_theory.errors import InputError

__all__ = ["require_converter"]

_PACKAGES = ("torch", "transformers", "gguf", "accelerate")


def require_converter() -> None:
    """Raise InputError unless the packages that read GGUF are installed."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"reading the model's file needs the package{'s' * (len(missing) > 1)} {' and '.join(missing)}: "
            "pip install 'gsi-theory[real]'"
        )
