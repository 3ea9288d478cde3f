"""What `--json` prints, as types: docs/json.md is made of them, and mypy and tests hold commands to them."""
