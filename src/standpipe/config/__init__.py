"""Settings: read once, frozen, handed down in parts.

`docs/configuration.md` has a line for each setting, and a test compares.
"""

from standpipe.config.reading import (
    SPECIAL_VARIABLES,
    load,
    notify_socket,
    plain_settings,
    shared_environment,
    variable,
)
from standpipe.config.secret import passwords, secrets, without_password
from standpipe.config.settings import (
    Content,
    LimitsSettings,
    Local,
    LocalModel,
    Logging,
    Mixture,
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
    Telemetry,
    Timeouts,
    UsageSettings,
)

__all__ = [
    "SPECIAL_VARIABLES",
    "Content",
    "LimitsSettings",
    "Local",
    "LocalModel",
    "Logging",
    "Mixture",
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
    "Telemetry",
    "Timeouts",
    "UsageSettings",
    "load",
    "notify_socket",
    "passwords",
    "plain_settings",
    "secrets",
    "shared_environment",
    "variable",
    "without_password",
]
