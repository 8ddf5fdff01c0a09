"""Dialects (wire forms, pure) and providers (places that speak one, data)."""
