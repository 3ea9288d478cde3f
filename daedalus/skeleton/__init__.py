"""The skeleton stage: stage.py is its table of contents, and a step is a file in steps/."""
