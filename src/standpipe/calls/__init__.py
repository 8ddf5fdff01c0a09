"""The call itself: key, route, attempts, relay, record."""
