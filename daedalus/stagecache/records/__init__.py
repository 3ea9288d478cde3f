"""What the cache keeps on disk: artifacts, traces, digests of files, locks, stats of finished days."""
