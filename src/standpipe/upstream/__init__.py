"""The connection pool: the only code that opens sockets to providers."""
