"""The skeleton stage: what each step reads and computes. stage.py lists the steps."""
