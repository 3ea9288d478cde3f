"""An independent reference, and its comparison with published partitions."""
