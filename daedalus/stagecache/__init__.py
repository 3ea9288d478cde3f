"""The stage cache: actions, manifests, artifacts, traces, and the walk that runs actions.

It knows nothing of SQL, feeds or terminals.
"""
