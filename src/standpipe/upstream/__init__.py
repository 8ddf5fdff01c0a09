"""The connection pool: the only code that opens sockets to providers."""

from standpipe.upstream.answer import Answer
from standpipe.upstream.pool import Pool
from standpipe.upstream.proxy import proxy_for
from standpipe.upstream.transport import Headers, Origin, Request, Transport

__all__ = [
    "Answer",
    "Headers",
    "Origin",
    "Pool",
    "Request",
    "Transport",
    "proxy_for",
]
