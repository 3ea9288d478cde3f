"""Configuration: its shape (`schema`), its rules (`rules`) and its reading (`load`)."""

from daedalus.config.load import AGGREGATIONS, CATALOG, RUNTIME, Config, load_config

__all__ = ["AGGREGATIONS", "CATALOG", "RUNTIME", "Config", "load_config"]
