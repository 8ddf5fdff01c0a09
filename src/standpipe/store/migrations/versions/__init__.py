"""One file a migration, forward only; never changed once released."""
