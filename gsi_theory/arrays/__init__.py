"""Arrays: their namespace (NumPy or torch), the log scale, quadrature, compiled loops, memory."""

from __future__ import annotations

import warnings


def __getattr__(name: str) -> object:
    """What this module held in release 0.1.0, before it became a folder."""
    if name == "namespace":  # asked for by the import below while it is not there yet
        raise AttributeError(name)
    from gsi_theory.arrays import namespace

    if name.startswith("__") or not hasattr(namespace, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gsi_theory.moved import GONE

    place = f"gsi_theory.arrays.namespace.{name}"
    warnings.warn(
        f"gsi_theory.arrays.{name} is now {place}; the old name goes with release {GONE}", DeprecationWarning, 2
    )
    return getattr(namespace, name)
