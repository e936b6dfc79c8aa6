"""Types that all rooms share: one name for each kind of array, and for what travels as JSON.

Shapes stand in docstrings, as in numpydoc: `log_mass (..., K)`. K outcomes or candidates, N pool size, B batch rows, M
counts; leading axes are a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Column", "Flags", "Floats", "Ints", "Json", "Namespace", "Record"]

# NumPy arrays
Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

# A NumPy array or a torch tensor (float64, CPU or CUDA): functions of arrays take either and answer in kind. No static
# type covers both, so the checker sees Any; what the value must be stands in the docstring.
Array: TypeAlias = Any
# The functions for an array's kind: what `array_api_compat.array_namespace` returns.
Namespace: TypeAlias = Any

# What `json.loads` returns, and an object of it: keys are checked where it is read.
Json: TypeAlias = Any
Record: TypeAlias = dict[str, Any]

# A column of a table.
Column: TypeAlias = Sequence[Any] | NDArray[Any]
