"""Says why, from traces and manifests: causes, one day, one row, differences, past runs. Runs nothing."""
