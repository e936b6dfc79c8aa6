"""Memory is counted before it is taken: a number that a user gave must not end in a killed process."""

from __future__ import annotations

import math
import os
import resource
from collections import deque
from pathlib import Path

from gsi_theory.errors import InputError

__all__ = ["available_memory", "largest_need", "readable_size", "require_memory"]

_asked: deque[float] = deque(maxlen=64)  # the last needs, for progress lines
# Limits of control groups, as (limit, usage), version 2 and 1.
_GROUPS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))


def _number(path: Path) -> float:
    try:
        return float(path.read_text())
    except (OSError, ValueError):  # absent, or "max"
        return math.inf


def _group_folders() -> list[Path]:
    root = Path("/sys/fs/cgroup")
    folders = [root, root / "memory"]
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers in ("", "memory"):
            folders.append(root / controllers / place.lstrip("/"))
    return folders


def _system() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return math.inf


def available_memory() -> float:
    """Bytes that this process may still take: the machine's, its control group's, or its own limit, whatever is least;
    +inf where nothing says."""
    free = [_system()]
    for folder in _group_folders():
        limits = [(_number(folder / limit), _number(folder / usage)) for limit, usage in _GROUPS]
        free += [limit - usage for limit, usage in limits if math.isfinite(limit)]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        try:
            free.append(limit - float(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE"))
        except (OSError, ValueError):
            free.append(float(limit))
    return max(0.0, min(free))


def readable_size(size: float) -> str:
    """Bytes in the largest decimal unit that leaves at least 1: "3.2 GB"."""
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000.0
    return f"{size:.3g} EB"


def largest_need() -> float:
    """The most bytes that this process has lately asked for at once through `require_memory`; 0 where it never did."""
    return max(_asked, default=0.0)


def require_memory(need: float, what: str, cure: str) -> None:
    """Raise InputError unless `need` bytes are available: "{what}: about 96 TB of memory are needed, and 12 GB are
    free: {cure}". `what` names the number that asks for them."""
    free = available_memory()
    _asked.append(need)
    if need > free:
        raise InputError(
            f"{what}: about {readable_size(need)} of memory are needed, and {readable_size(free)} are free: {cure}"
        )
