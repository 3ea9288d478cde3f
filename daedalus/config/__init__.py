"""Configuration: its shape (`schema`), rules (`validation`), reading (`load`) and what it becomes (`config`)."""

from daedalus.config.config import AGGREGATIONS, CATALOG, RUNTIME, Config
from daedalus.config.load import load_config

__all__ = ["AGGREGATIONS", "CATALOG", "RUNTIME", "Config", "load_config"]
