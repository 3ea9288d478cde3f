"""Actions, keys, artifacts, traces and the walk. It knows nothing of SQL, feeds or terminals."""
