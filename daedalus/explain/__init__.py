"""Says why, from traces and manifests: causes, one day, one row, differences, past runs. It runs no action."""
