"""The stage cache: actions, manifests, artifacts and traces. It knows nothing of SQL, feeds or terminals."""
