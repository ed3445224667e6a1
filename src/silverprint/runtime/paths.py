"""Where the cache and the data folder are."""

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return SILVERPRINT_CACHE, or the platform's cache folder. It need not exist yet."""
    named = os.environ.get("SILVERPRINT_CACHE")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("silverprint")


def data_folder() -> Path:
    """Return SILVERPRINT_DATA, or the platform's data folder. It need not exist yet."""
    named = os.environ.get("SILVERPRINT_DATA")
    return Path(named).expanduser() if named else platformdirs.user_data_path("silverprint")
