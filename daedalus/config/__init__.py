"""Configuration: its shape (`schema`), its rules (`validation`), its reading (`load`) and what it becomes (`model`)."""

from daedalus.config.load import load_config
from daedalus.config.model import AGGREGATIONS, CATALOG, RUNTIME, Config

__all__ = ["AGGREGATIONS", "CATALOG", "RUNTIME", "Config", "load_config"]
