"""The environment of a peer: a virtual environment of its own with pinned requirements, in `.venv-peers/NAME`."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from gsi_theory.errors import InputError
from tests.benches.peers.peer_record import FOLDER, Peer

__all__ = ["ENVIRONMENTS", "make_environment", "python_of"]

ENVIRONMENTS = FOLDER.parents[2] / ".venv-peers"


def _stamp(peer: Peer) -> str:
    return hashlib.sha256(peer.requirements.read_bytes()).hexdigest()


def python_of(peer: Peer, environments: Path | None = None) -> Path:
    """The interpreter of its environment. Raises InputError where there is none, or one of other requirements."""
    home = (environments or ENVIRONMENTS) / peer.name
    stamp = home / ".installed"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != _stamp(peer):
        raise InputError(
            f"{home}: no environment of {peer.package} {peer.version} with the requirements as pinned: "
            f"`python -m tests.benches.peers {peer.name}` makes it (from PyPI), `--no-install` only looks for it"
        )
    return home / "bin" / "python"


def make_environment(peer: Peer, environments: Path | None = None) -> Path:
    """Make the environment where it is missing or differs; its interpreter. Raises InputError where pip fails."""
    try:
        return python_of(peer, environments)
    except InputError:
        home = (environments or ENVIRONMENTS) / peer.name
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    python = home / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*command, "-r", str(peer.requirements)], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"{peer.requirements}: pip could not install it ({last}): is the package index reachable?")
    (home / ".installed").write_text(_stamp(peer), encoding="utf-8")
    return python
