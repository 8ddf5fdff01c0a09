"""Whether a provider can be reached: a connection, TLS where it is asked for, and no request."""

from __future__ import annotations

import asyncio
from pathlib import Path

from standpipe.config import Provider
from standpipe.errors import ConfigError
from standpipe.upstream import tls
from standpipe.upstream.dial import Addresses, dial, tunnel
from standpipe.upstream.proxy import Proxy, proxy_for
from standpipe.upstream.transport import Origin

#: Seconds that a connection may take.
PATIENCE_S = 3.0


async def fault(row: Provider, proxies: dict[str, str]) -> str | None:
    """Return why a provider cannot be reached; None if it can."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await _connect(row, proxies)
    except TimeoutError:
        return f"no connection within {PATIENCE_S:g} seconds"
    except OSError as error:
        return error.strerror or str(error)
    except (ConfigError, ValueError) as error:
        return str(error)
    return None


async def _connect(row: Provider, proxies: dict[str, str]) -> None:
    origin = Origin.parse(row.base_url)
    url = proxy_for(row.base_url, proxies)
    proxy = Proxy.parse(url) if url else None
    way = proxy or origin
    context = None
    if origin.scheme == "https":
        context = tls.context(Path(row.ca_file) if row.ca_file else None)
    connected = await dial(Addresses(way.host, way.port), PATIENCE_S)
    if proxy is not None:
        await tunnel(connected, proxy, origin.address)
    host = origin.host if context else None
    _, writer = await asyncio.open_connection(sock=connected, ssl=context, server_hostname=host)
    writer.close()
    await writer.wait_closed()
