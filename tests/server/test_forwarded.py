"""What proxies say, from whom it is believed, and who the client is then."""

from __future__ import annotations

import pytest
from raw_http import Echo, ask, listening, run

from standpipe.server.door import Door
from standpipe.server.forwarded import Proxies

PROXIES = Proxies(["10.0.0.0/8", "fd00::/8"])


def client(*headers: tuple[str, str]) -> tuple[str | None, str | None]:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    address, scheme = PROXIES.client(raw)
    return str(address) if address is not None else None, scheme


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], (None, None)),
        ([("X-Forwarded-For", "192.0.2.1")], ("192.0.2.1", None)),
        ([("X-Forwarded-For", "192.0.2.1:4711")], ("192.0.2.1", None)),
        ([("X-Forwarded-For", "[2001:db8::1]:4711")], ("2001:db8::1", None)),
        ([("X-Forwarded-For", "2001:db8::1")], ("2001:db8::1", None)),
        # What the client says itself stands to the left, and is not believed.
        ([("X-Forwarded-For", "127.0.0.1, 192.0.2.1, 10.1.2.3")], ("192.0.2.1", None)),
        ([("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-For", "192.0.2.1")], ("192.0.2.1", None)),
        ([("X-Forwarded-For", "10.0.0.1, 10.0.0.2")], ("10.0.0.1", None)),
        ([("X-Forwarded-For", "192.0.2.1, unknown, 10.0.0.2")], ("10.0.0.2", None)),
        ([("X-Forwarded-For", "::ffff:10.0.0.1")], ("10.0.0.1", None)),
        ([("X-Forwarded-For", "<script>")], (None, None)),
        ([("X-Forwarded-Proto", "https")], (None, "https")),
        ([("X-Forwarded-Proto", "gopher")], (None, None)),
        (
            [("X-Forwarded-For", "192.0.2.1, 10.1.2.3"), ("X-Forwarded-Proto", "https")],
            ("192.0.2.1", "https"),
        ),
        (
            [("X-Forwarded-For", "192.0.2.1, 10.1.2.3"), ("X-Forwarded-Proto", "https, http")],
            ("192.0.2.1", "https"),
        ),
        ([("Forwarded", "for=192.0.2.1;proto=https;by=10.0.0.1")], ("192.0.2.1", "https")),
        ([("Forwarded", 'For="[2001:db8::1]:47";Proto=HTTPS')], ("2001:db8::1", "https")),
        (
            [("Forwarded", 'for=127.0.0.1, for="192.0.2.1;x,y", for=192.0.2.9, for=10.0.0.1')],
            ("192.0.2.9", None),
        ),
        ([("Forwarded", "for=_hidden;proto=http, for=10.0.0.1")], ("10.0.0.1", "http")),
        ([("Forwarded", "for=192.0.2.1"), ("X-Forwarded-For", "192.0.2.7")], ("192.0.2.1", None)),
        ([("Forwarded", ';;=,,"')], (None, None)),
    ],
)
def test_client_is_the_right_most_that_is_no_proxy(
    headers: list[tuple[str, str]], expected: tuple[str | None, str | None]
) -> None:
    assert client(*headers) == expected


@pytest.mark.parametrize(
    ("peer", "is_trusted"),
    [("10.2.3.4", True), ("::ffff:10.2.3.4", True), ("fd00::1", True), ("11.0.0.1", False)],
)
def test_peers_are_trusted_by_their_networks(peer: str, is_trusted: bool) -> None:
    assert PROXIES.trusts(peer) is is_trusted


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [(["127.0.0.0/8"], ("192.0.2.1", "https")), (["10.0.0.0/8"], ("127.0.0.1", "http"))],
)
def test_headers_of_others_are_read_as_nothing(
    trusted: list[str], expected: tuple[str, str]
) -> None:
    async def scenario() -> None:
        app = Echo()
        head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        said = b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\r\n"
        async with listening(app, door=Door(proxies=Proxies(trusted))) as server:
            await ask(server.port, head + said)
        scope = app.asked[0]
        assert (scope["client"][0], scope["scheme"]) == expected

    run(scenario())
