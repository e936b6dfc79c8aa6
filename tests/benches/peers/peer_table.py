"""The peers, by name."""

from __future__ import annotations

from gsi_theory.errors import Named
from tests.benches.peers import bestofn_peer, dspy_peer, genlm_control_peer, its_hub_peer, seqspecdecod_peer
from tests.benches.peers.peer_record import Peer

__all__ = ["PEERS"]

_MODULES = (its_hub_peer, genlm_control_peer, dspy_peer, seqspecdecod_peer, bestofn_peer)
PEERS: dict[str, Peer] = Named("peer", {module.PEER.name: module.PEER for module in _MODULES})
