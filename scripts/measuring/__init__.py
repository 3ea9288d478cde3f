"""What scripts/bench.py measures with: processes, worlds, peers, and several programs in turn on one world."""
