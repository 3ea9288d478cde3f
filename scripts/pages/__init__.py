"""Pages of docs/ whose tables are made from the definitions in the code; scripts/config_docs.py writes them."""
