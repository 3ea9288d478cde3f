"""What `--json` prints, as types: docs/json.md is made from them, and mypy and tests check commands against them."""
