"""The walk over actions: plan, order, execution, outcomes, progress."""
