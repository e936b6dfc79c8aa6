"""Other libraries on the bench of `gsi conform`: `python -m tests.benches.peers NAME|all`; results in docs/peers.md."""
