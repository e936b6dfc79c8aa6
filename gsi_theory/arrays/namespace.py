"""One source for NumPy and torch: which namespace an array belongs to, and the few operations the standard lacks.

Arrays are float64 and stay where they are (CPU or CUDA). Everything else goes through `array_api_compat`.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

import array_api_compat
import numpy as np

from gsi_theory.errors import InputError, quoted
from gsi_theory.types import Array

__all__ = [
    "COMPILED",
    "added",
    "as_arrays",
    "as_number",
    "as_numbers",
    "capped",
    "detached",
    "divided",
    "exp_of",
    "expanded",
    "expm1_of",
    "highest",
    "host",
    "is_numpy",
    "log1p_of",
    "log_of",
    "log_of_either",
    "lowest",
    "numbers_or_indicators",
    "plain_number",
    "refuse_booleans",
    "rows_of",
    "running_sum",
    "scatter_sum",
    "sum_tolerance",
    "table",
    "times",
]

# Two kernels and a scan have a compiled version for NumPy arrays; GSI_COMPILED=0 takes the array version instead. The
# modules that hold them are imported where they are called: numba takes longer to import than all else together.
COMPILED = importlib.util.find_spec("numba") is not None and os.environ.get("GSI_COMPILED", "1") != "0"


SUM_TOLERANCE = 1e-9


def as_numbers(value: Array, name: str) -> np.ndarray:
    """`value` as a float64 NumPy array; torch tensors come to the host.

    Raises InputError naming what is no array of real numbers: strings, booleans, dicts, None, ragged lists, tensors
    that need gradients (which NumPy would lose).
    """
    if array_api_compat.is_torch_array(value):
        if value.requires_grad:
            raise InputError(f"{name} is a tensor that needs gradients, which would be lost: give {name}.detach()")
        torch = array_api_compat.array_namespace(value)
        value = value.detach().cpu() if value.dtype == torch.bool else value.detach().cpu().to(torch.float64)
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise InputError(f"{name} has masked entries, which would count: give {name}.compressed()")
    try:
        array = np.asarray(value)
        if array.dtype.kind in "bUSOMmc" or isinstance(value, list | tuple):
            _refuse_strange(value, array, name)
        if array.dtype.kind in "Mm":
            raise InputError(f"{name} is not a list of numbers, but of {array.dtype}: give numbers")
        return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} is not a list of numbers ({error}): give numbers") from error


def _refuse_strange(value: Array, array: np.ndarray, name: str, part: str = "") -> None:
    """InputError for the first entry of `value`, `part` of `name`, that is no number though float() would take it."""
    if isinstance(value, list | tuple) and set(map(type, value)) <= {float, int}:
        return
    entries = enumerate(value) if isinstance(value, list | tuple) else np.ndenumerate(array)
    for place, entry in entries:
        if isinstance(entry, bool | np.bool_ | str | bytes | complex | dict | set) or entry is None:
            at = ", ".join(map(str, place)) if isinstance(place, tuple) else place
            where = f"{name}{part}[{at}]" if np.ndim(array) or isinstance(value, list | tuple) else name
            shown = entry.item() if isinstance(entry, np.generic) else entry
            raise InputError(f"{name} is not a list of numbers ({where} = {shown!r}): give numbers")
        if isinstance(entry, list | tuple):
            _refuse_strange(entry, array, name, f"{part}[{place}]")


def as_number(value: Array, name: str, cure: str) -> float:
    """`value`, a real number (NumPy and torch scalars and Fractions pass), as a float; InputError ending in `cure`."""
    try:
        array = as_numbers(value, name)
    except InputError as error:
        raise InputError(f"{name} = {quoted(value)}: {cure}") from error
    if array.ndim:
        raise InputError(f"{name} of shape {array.shape}: {cure}")
    return float(array)


def sum_tolerance(value: Array) -> float:
    """How far from one the masses, or their logs, may sum: 1e-9, and more for what lower precision has rounded.

    K numbers of machine epsilon e are each off by a few e, and logs by e times their size, at most e log K in the mean:
    4 e (1 + log K). What passes is normalized in float64.
    """
    if not hasattr(value, "dtype") and not isinstance(value, list | tuple):
        return SUM_TOLERANCE
    if array_api_compat.is_torch_array(value):
        if not value.is_floating_point():
            return SUM_TOLERANCE
        unit = float(array_api_compat.array_namespace(value).finfo(value.dtype).eps)
    else:
        value = np.asarray(value)
        if value.dtype.kind != "f":
            return SUM_TOLERANCE
        unit = float(np.finfo(value.dtype).eps)
    size = value.shape[-1] if value.ndim else 1
    return max(SUM_TOLERANCE, 4.0 * unit * (1.0 + float(np.log(max(1, size)))))


def as_arrays(**values: Array) -> tuple[Array, list[Array]]:
    """(namespace, float64 arrays) for values given by name: torch tensors stay torch, all else becomes NumPy.

    A NumPy value beside a torch one moves to the tensor's device. Arrays of booleans are indicators, 0 and 1. Raises
    InputError naming what is not numeric.
    """
    tensors = [v for v in values.values() if array_api_compat.is_torch_array(v)]
    if not tensors:
        arrays = [numbers_or_indicators(value, name) for name, value in values.items()]
        return array_api_compat.array_namespace(arrays[0]), arrays
    xp, device = array_api_compat.array_namespace(tensors[0]), tensors[0].device
    strangers = {str(t.device) for t in tensors if t.device != device}
    if strangers:
        raise InputError(f"tensors on {device} and {', '.join(sorted(strangers))}: give all of them on one device")
    return xp, [
        v.to(xp.float64)
        if array_api_compat.is_torch_array(v)
        else xp.asarray(numbers_or_indicators(v, name), dtype=xp.float64, device=device)
        for name, v in values.items()
    ]


def numbers_or_indicators(value: Array, name: str) -> np.ndarray:
    """As `as_numbers`; arrays of booleans are indicators, 0 and 1."""
    return np.asarray(value, dtype=np.float64) if _boolean(value) else as_numbers(value, name)


def _boolean(value: Array) -> bool:
    """Whether `value` is an array, NumPy or torch, or a flat list of nothing but booleans."""
    if isinstance(value, list | tuple):
        return set(map(type, value)) == {bool}
    if is_numpy(value):
        return bool(value.dtype == np.bool_)
    return str(getattr(value, "dtype", "")) in ("bool", "torch.bool")


def refuse_booleans(**values: Array) -> None:
    """InputError naming the first of the arrays that holds booleans."""
    for name, value in values.items():
        if _boolean(value):
            raise InputError(f"{name} is not a list of numbers, but of booleans: give numbers")


def is_numpy(array: Array) -> bool:
    """Whether the array lives in NumPy (where the compiled kernels apply)."""
    return isinstance(array, np.ndarray)


def host(array: Array) -> np.ndarray:
    """A NumPy copy, detached from any graph: for bookkeeping that decides shapes."""
    if is_numpy(array):
        return np.asarray(array)
    return array.detach().cpu().numpy() if array_api_compat.is_torch_array(array) else np.asarray(array)


def detached(array: Array) -> Array:
    """The same numbers without a gradient."""
    return array.detach() if not is_numpy(array) and array_api_compat.is_torch_array(array) else array


def lowest(array: Array) -> float:
    """Smallest entry (NaN if there is one), as a number without a gradient."""
    return float(detached(array).min())


def highest(array: Array) -> float:
    """Largest entry, as `lowest`."""
    return float(detached(array).max())


def plain_number(value: Array) -> Array:
    """A float for a single NumPy number, never -0.0; anything else as it is (a torch scalar keeps its gradient)."""
    return float(value) + 0.0 if isinstance(value, np.generic) or (is_numpy(value) and value.ndim == 0) else value


def table(values: np.ndarray, like: Array) -> Array:
    """A NumPy constant in the namespace and on the device of `like`."""
    if isinstance(like, np.ndarray):
        return values
    return array_api_compat.array_namespace(like).asarray(values, device=array_api_compat.device(like))


def scatter_sum(index: Array, values: Array, size: int) -> Array:
    """out_i = Σ over positions with index = i of values; index and values flat, out (size,)."""
    if isinstance(values, np.ndarray):
        return np.bincount(index, weights=values, minlength=size)
    xp = array_api_compat.array_namespace(values)
    return xp.zeros(size, dtype=values.dtype, device=values.device).index_add(0, index, values)


def running_sum(values: Array) -> Array:
    """Running sum along the last axis, in blocks of about √K, so that a term is rounded at most 2√K times.

    A plain running sum rounds it up to K times, and a million equal terms drift by 1e-11.
    """
    xp = array_api_compat.array_namespace(values)
    size = values.shape[-1]
    if size <= 64:
        return xp.cumulative_sum(values, axis=-1)
    block = int(np.ceil(np.sqrt(size)))
    count = -(-size // block)
    lead = tuple(values.shape[:-1])
    rest = xp.zeros((*lead, count * block - size), dtype=values.dtype, device=array_api_compat.device(values))
    inside = xp.cumulative_sum(xp.reshape(xp.concat([values, rest], axis=-1), (*lead, count, block)), axis=-1)
    ends = xp.cumulative_sum(inside[..., -1], axis=-1)
    before = xp.concat([xp.zeros_like(ends[..., :1]), ends[..., :-1]], axis=-1)
    return xp.reshape(inside + before[..., None], (*lead, count * block))[..., :size]


def rows_of(size: int, per_row: int, budget: int) -> list[slice]:
    """Slices of at most budget // per_row rows (at least one) that cover range(size)."""
    step = max(1, budget // max(1, per_row))
    return [slice(i, min(i + step, size)) for i in range(0, size, step)]


def expanded(values: Array, shape: tuple[int, ...]) -> Array:
    """`values` broadcast to `shape`; as they are where it is theirs, which costs nothing."""
    if tuple(values.shape) == shape:
        return values
    return array_api_compat.array_namespace(values).broadcast_to(values, shape)


# The functions below may write over their first argument, which the caller gives up: in NumPy a fresh array of a
# million numbers costs more than most operations on it. Torch arrays are never written over: gradients need them.


def added(owned: Array, values: Array) -> Array:
    """owned + values."""
    return np.add(owned, values, out=owned) if is_numpy(owned) else owned + values


def times(owned: Array, values: Array) -> Array:
    """owned · values."""
    return np.multiply(owned, values, out=owned) if is_numpy(owned) else owned * values


def divided(owned: Array, values: Array) -> Array:
    """owned / values."""
    return np.divide(owned, values, out=owned) if is_numpy(owned) else owned / values


def capped(owned: Array) -> Array:
    """min(owned, 0)."""
    if is_numpy(owned):
        # most arrays need no cap, and a maximum takes a third of the time
        return owned if owned.max() <= 0.0 else np.minimum(owned, 0.0, out=owned)
    return array_api_compat.array_namespace(owned).where(owned > 0.0, 0.0, owned)


def _elementwise(name: str) -> Callable[[Array], Array]:
    in_numpy = getattr(np, name)

    def apply(owned: Array) -> Array:
        if is_numpy(owned):
            return in_numpy(owned, out=owned)
        return getattr(array_api_compat.array_namespace(owned), name)(owned)

    return apply


exp_of, expm1_of, log_of, log1p_of = (_elementwise(name) for name in ("exp", "expm1", "log", "log1p"))


def log_of_either(a: Array, deficit: Array) -> Array:
    """log a where deficit = 1 - a is at least ½, log(1 - deficit) elsewhere."""
    xp = array_api_compat.array_namespace(a)
    near = deficit < 0.5
    gone = a <= 0.0
    rest = xp.where(gone, -np.inf, xp.log(xp.where(near | gone, 1.0, a)))
    return xp.where(near, xp.log1p(-xp.where(near, deficit, 0.0)), rest)
