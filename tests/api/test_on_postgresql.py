"""Two nodes on one PostgreSQL, as operators run them: started at once, each reads the other's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import misbehaving
import postgres
import serving
from asking import CHAT, Asker, until
from command_line import CommandLine

NewDatabase = Callable[..., str]


def test_two_nodes_share_a_store(tmp_path: Path, new_postgres: NewDatabase) -> None:
    url = new_postgres(migrated=False)
    with ExitStack() as stack:
        upstream = stack.enter_context(misbehaving.running())
        provider = serving.provider("openai", upstream.url, api_key='"sk-x"', models='["ok"]')
        made = [
            serving.serving(tmp_path / name, provider, STORE_URL=url, USAGE_METADATA="team")
            for name in ("one", "two")
        ]
        with ThreadPoolExecutor(2) as threads:
            nodes = [*threads.map(stack.enter_context, made)]
        one, two = (Asker(node, node.key) for node in nodes)

        ids = {who.chat(metadata={"team": "a"}, store=True)["id"] for who in (one, two, one)}
        until(lambda: len(two.stored()) == 3)
        assert {each["id"] for each in one.stored("?metadata[team]=a")} == ids
        name = min(ids)
        assert two.post(f"{CHAT}/{name}", {"metadata": {"team": "b"}})["metadata"] == {"team": "b"}
        assert one.ask("DELETE", f"{CHAT}/{name}").status == 200
        assert len(two.stored()) == 2
        assert two.get("/usage?group=team")["total"]["calls"] == 3

        cli = CommandLine(nodes[0].home)
        told = cli.run("doctor", STANDPIPE_STORE_URL=url).stdout
        assert f"127.0.0.1/{url.rpartition('/')[2]}, PostgreSQL " in told
        written = told + "".join(node.log.read_text() for node in nodes)
    assert postgres.PASSWORD not in written
