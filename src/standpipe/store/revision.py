"""The version of the tables, known without importing what makes them."""

from __future__ import annotations

#: The newest migration.
HEAD = "0004"
