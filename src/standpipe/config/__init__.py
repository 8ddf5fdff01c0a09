"""Settings: read once, frozen, handed down in parts.

`docs/configuration.md` has a line for each setting, and a test compares.
"""

from standpipe.config.reading import SPECIAL_VARIABLES, load, plain_settings, variable
from standpipe.config.settings import (
    Local,
    LocalModel,
    Logging,
    Price,
    Provider,
    Redaction,
    Retention,
    Route,
    Secret,
    Server,
    Settings,
    SpoolSettings,
    StoreSettings,
    Target,
    Timeouts,
    UsageSettings,
)

__all__ = [
    "SPECIAL_VARIABLES",
    "Local",
    "LocalModel",
    "Logging",
    "Price",
    "Provider",
    "Redaction",
    "Retention",
    "Route",
    "Secret",
    "Server",
    "Settings",
    "SpoolSettings",
    "StoreSettings",
    "Target",
    "Timeouts",
    "UsageSettings",
    "load",
    "plain_settings",
    "variable",
]
