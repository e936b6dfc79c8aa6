"""Do other libraries sample what they document? `python -m tests.benches.peers NAME|all`.

Makes the environment of each (`.venv-peers/NAME`, pinned, from PyPI), runs its driver there and judges the draws; `all`
writes docs/peers.md. Exit status 0 however they come out, 2 for bad input and a missing environment.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gsi_theory.errors import InputError
from tests.benches.peers.environment import make_environment, python_of
from tests.benches.peers.peer_page import PAGE, write_page
from tests.benches.peers.peer_table import PEERS
from tests.benches.peers.run_peer import Judged, run_peer, verdict

app = typer.Typer(add_completion=False)


def _line(judged: Judged) -> str:
    outcome = judged.conformance
    if outcome is None:
        return f"  {judged.case.id:28} could not be driven: {judged.error}"
    nearest = f"; nearest: {outcome.nearest.id}" if outcome.nearest else ""
    low, high = judged.tv
    return f"  {judged.case.id:28} {verdict(judged)}; TV {low:.3f} to {high:.3f} of {judged.draws:,} draws{nearest}"


@app.command()
def main(
    name: Annotated[str, typer.Argument(help=f"{', '.join(PEERS)}, or all, which writes docs/peers.md")],
    only: Annotated[str, typer.Option(help="settings with this in their name")] = "",
    draws: Annotated[int | None, typer.Option(min=1, help="of each setting, for its own number")] = None,
    seed: int = 0,
    install: Annotated[bool, typer.Option(help="make a missing environment")] = True,
) -> None:
    """Judge one library, or all of them."""
    try:
        peers = list(PEERS.values()) if name == "all" else [PEERS[name]]
        results = []
        for peer in peers:
            python = make_environment(peer) if install else python_of(peer)
            print(f"{peer.package} {peer.version}", flush=True)
            results.append((peer, run_peer(peer, python, only=only, seed=seed, draws=draws)))
            print("\n".join(map(_line, results[-1][1])), flush=True)
        if name == "all" and not only and draws is None:
            write_page(results)
            print(f"written: {PAGE}")
    except InputError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    app()
