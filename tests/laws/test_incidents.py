"""What has happened to users of other gateways, each by its name, and must not happen here.

Many are held in more depth where the part is tested; here somebody who has read of one finds it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import misbehaving
import pytest
import raw_http
import serving
from asking import CHAT, HI, Asker, until
from misbehaving import Misbehaving
from serving import REPOSITORY, Standpipe
from typing_extensions import override

from standpipe.api.endpoints import ENDPOINTS, PREFIXES
from standpipe.calls.callers import Callers
from standpipe.errors import Unauthorized
from standpipe.store import Key, Store
from standpipe.store.tokens import new_token

UPSTREAM_KEY = "sk-upstream-0123456789abcdef"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Misbehaving) -> Iterator[Standpipe]:
    home = tmp_path_factory.mktemp("incidents") / "home"
    table = serving.provider("openai", upstream.url, api_key=f'"{UPSTREAM_KEY}"', models='["ok"]')
    with serving.serving(home, table) as running:
        yield running


@pytest.fixture(scope="module")
def store(server: Standpipe) -> Iterator[Store]:
    with closing(Store.open(f"sqlite:///{server.home / 'standpipe.db'}")) as opened:
        yield opened


@pytest.fixture
def client(server: Standpipe) -> Asker:
    return Asker(server, server.key)


def test_poisoned_release_litellm_1_82_7_every_package_is_pinned_by_hash() -> None:
    locks = [*REPOSITORY.glob("requirements/*.lock"), *REPOSITORY.glob("tests/clients/*.lock")]
    assert locks
    for lock in locks:
        for entry in re.split(r"\n(?=\S)", lock.read_text()):
            if re.match(r"[\w.\-\[\]]+==", entry):
                assert "--hash=sha256:" in entry, f"{lock.name}: {entry[:60]}"


@pytest.mark.parametrize(
    "token",
    ["' OR '1'='1", "x' UNION SELECT * FROM api_keys--", "sp_' OR 1=1--_x", "%", "sp_%_%"],
)
def test_cve_2026_42208_sql_in_a_key_finds_no_key(server: Standpipe, token: str) -> None:
    assert serving.call(server, "GET", CHAT, key=token).status == 401


@pytest.mark.parametrize("host", ["x/../health", "127.0.0.1/health?", "health@x", "[::1"])
def test_cve_2026_48710_host_header_opens_nothing(server: Standpipe, host: str) -> None:
    request = f"GET /api/v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    answer = asyncio.run(raw_http.ask(server.port, request.encode()))
    assert answer.split()[1] in {b"400", b"401"}


def test_cve_2026_35030_keys_that_begin_alike_are_two_keys(server: Standpipe, store: Store) -> None:
    project = store.add_project("alike")
    _, token = new_token()
    store.add_key(project.id, name="one", read_only=False, token=token)
    assert serving.call(server, "GET", CHAT, key=token).status == 200
    other = token[:-1] + ("A" if token[-1] != "A" else "B")
    assert serving.call(server, "GET", CHAT, key=other).status == 401
    assert serving.call(server, "GET", CHAT, key=token + "A").status == 401


def test_cve_2026_47101_a_read_only_key_gains_nothing_by_asking(
    server: Standpipe, store: Store
) -> None:
    project = store.add_project("reader")
    _, token = new_token()
    store.add_key(project.id, name="reader", read_only=True, token=token)
    body = {"model": "ok", "messages": HI, "user_role": "proxy_admin", "read_only": False}
    assert serving.call(server, "POST", CHAT, body, key=token).status == 403


def test_ghsa_69x8_the_hash_of_a_key_is_no_key(server: Standpipe) -> None:
    digest = hashlib.sha256(server.key.encode())
    assert serving.call(server, "GET", CHAT, key=digest.hexdigest()).status == 401
    assert server.key.encode() not in (server.home / "standpipe.db").read_bytes()


def test_cve_2024_6587_a_caller_cannot_choose_where_the_providers_key_goes(
    client: Asker, upstream: Misbehaving
) -> None:
    with misbehaving.running() as elsewhere:
        places = dict.fromkeys(("api_base", "base_url", "api_url", "endpoint"), elsewhere.url)
        answer = client.ask("POST", CHAT, {"model": "ok", "messages": HI, **places})
        assert answer.status == 200
        assert elsewhere.requests_seen == 0
    assert upstream.last.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"


def test_cve_2024_6587_a_provider_cannot_send_its_key_elsewhere(client: Asker) -> None:
    answer = client.ask("POST", CHAT, {"model": "redirect", "messages": HI})
    assert answer.status == 502


def test_bifrost_5763_where_no_key_is_set_nobody_gets_in_without_one(tmp_path: Path) -> None:
    with serving.serving(tmp_path / "home", API_KEY="") as running:
        body = {"model": "ok", "messages": HI}
        headers = {"Authorization": ""}
        assert serving.call(running, "POST", CHAT, body, headers=headers).status == 401


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/chat/completions",
        "/api/v1//chat/completions/",
        "/health/../api/v1/chat/completions",
        "/health/%2e%2e/api/v1/chat/completions",
        "/api/v1/%63hat/completions",
        "/API/V1/chat/completions",
        "/api/v1/chat/completions;/health",
        "/api/v1/chat/completions%00/health",
    ],
)
def test_ghsa_vj9g_no_way_of_writing_a_path_goes_round_the_key(
    server: Standpipe, path: str
) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = asyncio.run(raw_http.ask(server.port, request.encode()))
    assert answer.split()[1] in {b"400", b"401", b"404"}


def test_portkey_console_nothing_that_shows_traffic_is_open(server: Standpipe) -> None:
    openly = {"health", "openapi", "docs"}
    asked = 0
    for endpoint in ENDPOINTS:
        if endpoint.testing or endpoint.operation in openly:
            continue
        for prefix in PREFIXES:
            url = f"{prefix}{endpoint.path}".replace("{id}", "x")
            headers = {"Authorization": ""}
            answer = serving.call(server, endpoint.method, url, root=True, headers=headers)
            assert answer.status == 401, url
            asked += 1
    assert asked > 20


def test_bifrost_3954_the_providers_headers_stay_with_us(
    client: Asker, upstream: Misbehaving
) -> None:
    answer = client.ask("POST", CHAT, {"model": "ok", "messages": HI})
    told = {name.lower() for name in answer.headers}
    assert told <= {
        "content-type", "content-length", "date", "server", "x-request-id", "standpipe-model",
        "standpipe-fidelity", "connection", "openai-processing-ms",
    }  # fmt: skip
    assert UPSTREAM_KEY not in str(answer.headers)


def test_litellm_spend_logs_no_record_has_the_callers_key(client: Asker, store: Store) -> None:
    answer = client.ask("POST", CHAT, {"model": "ok", "messages": HI, "store": True})
    record = answer.headers["x-request-id"]
    until(lambda: record in {row.id for row in store.logs(None)})
    assert all(client.token not in repr(row) for row in store.logs(None))


def test_langfuse_names_of_metadata_are_only_names(client: Asker) -> None:
    labels = {"__proto__": "x", "constructor.prototype": "y", "__class__": "z", "$where": "1"}
    answer = client.ask(
        "POST", CHAT, {"model": "ok", "messages": HI, "store": True, "metadata": labels}
    )
    kept = client.get(f"{CHAT}/{answer.headers['x-request-id']}")
    assert kept["metadata"] == labels


def test_cve_2026_25591_signs_of_patterns_stand_for_themselves(client: Asker) -> None:
    body = {"model": "ok", "messages": HI, "store": True, "metadata": {"pattern": "plain"}}
    client.ask("POST", CHAT, body)
    for pattern in ("%25", "%25lain", "_____", "%25" * 100):
        assert client.stored(f"?metadata[pattern]={pattern}") == []
    assert len(client.stored("?metadata[pattern]=plain")) == 1


def test_cve_2025_62727_a_range_costs_nothing(server: Standpipe) -> None:
    ranges = ",".join(f"{n}-{n}" for n in range(5000))
    path = "/docs"
    answer = serving.call(server, "GET", path, root=True, headers={"Range": f"bytes={ranges}"})
    assert answer.status in {200, 404}


def test_cve_2025_43859_a_chunk_that_ends_otherwise_is_refused(server: Standpipe) -> None:
    head = (
        "POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {server.key}\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    answer = asyncio.run(raw_http.ask(server.port, head.encode() + b"5\r\nAAAAAXX0\r\n\r\n"))
    assert answer.split()[1] == b"400"


class Slow(Store):
    """A store that is asked for keys, and counts."""

    asked = 0

    @override
    def key_by_hash(self, token_hash: bytes) -> Key | None:
        self.asked += 1
        return super().key_by_hash(token_hash)


def test_openrouter_2026_02_many_with_an_unknown_key_ask_the_store_once(tmp_path: Path) -> None:
    opened = Slow.open(f"sqlite:///{tmp_path / 'standpipe.db'}")
    opened.migrate()
    assert isinstance(opened, Slow)

    async def ask(callers: Callers) -> None:
        with pytest.raises(Unauthorized):
            await callers.check(b"Bearer nobody-knows-this-one")

    async def all_at_once() -> None:
        callers = Callers(opened, grace=60)
        await asyncio.gather(*(ask(callers) for _ in range(200)))

    asyncio.run(all_at_once())
    assert opened.asked == 1
    opened.close()


def test_litellm_2026_02_prices_change_with_a_release_alone() -> None:
    program = (
        "import socket\n"
        "def refuse(*_): raise SystemExit('the network was asked')\n"
        "socket.socket.connect = refuse\n"
        "from standpipe.drain import prices\n"
        "import genai_prices\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    lock = (REPOSITORY / "requirements" / "runtime.lock").read_text()
    assert re.search(r"^genai-prices==[\d.]+ ", lock, re.MULTILINE)


def test_litellm_38157_calls_answered_right_before_the_stop_are_kept(
    tmp_path: Path, upstream: Misbehaving
) -> None:
    table = serving.provider("openai", upstream.url, api_key='"sk-x"', models='["ok"]')
    with serving.serving(tmp_path / "home", table) as running:
        asker = Asker(running, running.key)
        with ThreadPoolExecutor(8) as pool:
            done = [
                pool.submit(asker.ask, "POST", CHAT, {"model": "ok", "messages": HI})
                for _ in range(100)
            ]
            seen = {each.result().headers["x-request-id"] for each in done}
        running.stop()
    with closing(sqlite3.connect(tmp_path / "home" / "standpipe.db")) as connection:
        kept = {line[0] for line in connection.execute("SELECT id FROM records")}
    assert kept == seen


def test_litellm_25447_answers_do_not_cross(client: Asker) -> None:
    def ask(n: int) -> bool:
        body = {"model": "echo", "messages": [{"role": "user", "content": f"canary-{n}"}]}
        said = client.ask("POST", CHAT, body).json["choices"][0]["message"]["content"]
        return bool(json.loads(said)["messages"][0]["content"] == f"canary-{n}")

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(200)))


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "n"])
def test_cve_2026_21869_a_negative_count_goes_nowhere(
    client: Asker, upstream: Misbehaving, field: str
) -> None:
    before = upstream.requests_seen
    answer = client.ask("POST", CHAT, {"model": "ok", "messages": HI, field: -1})
    assert answer.status == 400
    assert field in answer.json["message"]
    assert upstream.requests_seen == before
