"""The skeleton stage: a step is a file in steps/, and config/steps.py is their table."""
