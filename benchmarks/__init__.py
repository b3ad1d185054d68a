"""Questions about speed, each answered beside a peer in one run. `make bench` asks them all."""
