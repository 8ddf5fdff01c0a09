"""The append-only record files: one write a call, recovered after any crash."""
