"""No secret comes out anywhere, and no text but where the content policy lets it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import serving
from laws.canaries import (
    FIRST_KEY,
    PASSWORD,
    PLACES,
    PROVIDER_KEY,
    PROXY_PASSWORD,
    UNUSED_KEY,
    Caller,
    Found,
    canary,
    everything,
    telling,
)
from serving import Standpipe

from standpipe.calls.incoming import Incoming
from standpipe.cli.prepared import Prepared
from standpipe.config import Content, Provider, Secret, Settings, StoreSettings
from standpipe.drain.process import DrainSpec
from standpipe.engine.address import Address
from standpipe.store import Row, Store
from standpipe.store.tokens import new_token, public_id_of
from standpipe.upstream.proxy import Proxy
from standpipe.upstream.signing import Credentials
from standpipe.upstream.transport import Request
from standpipe.wire.known_secrets import KnownSecrets
from standpipe.worker import WorkerSpec

HOOK = """
def hook(text):
    if "hook" in text:
        raise ValueError("it cannot be done: " + text)
    return text
"""
POLICIES: tuple[Content, ...] = ("full", "redacted", "none")
#: Where text that `full` keeps is found again, by where it was put.
_ROWS = {"segments", "database"}
_TEXTS = {*_ROWS, "logs export"}
KEPT = {
    **dict.fromkeys(("prompt", "arguments", "metadata", "tag", "error"), _TEXTS),
    **dict.fromkeys(("hook", "reported"), _TEXTS),
    **dict.fromkeys(("agent", "field", "model", "refused", "cut", "report"), _ROWS),
    "label": {"database", "logs export"},
}


@dataclass
class Played:
    """What came out of a server of some policy that was told every canary by each caller."""

    policy: Content
    server: Standpipe
    found: Found
    callers: dict[str, Caller]

    def where(self, place: str, who: str) -> set[str]:
        """Return where a canary was found that its own caller was not just answered with."""
        sinks = self.found.holding(canary(place, who))
        return {sink for sink in sinks if not sink.startswith(("answer", "headers"))}


@pytest.fixture(scope="module", params=POLICIES)
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Played]:
    policy: Content = request.param
    folder = tmp_path_factory.mktemp(policy)
    (folder / "canary_hook.py").write_text(HOOK)
    with pytest.MonkeyPatch.context() as patch, telling() as provider:
        patch.setenv("PYTHONPATH", str(folder))
        patch.setenv("ELSEWHERE_API_KEY", UNUSED_KEY)
        patch.setenv("HTTPS_PROXY", f"http://me:{PROXY_PASSWORD}@127.0.0.1:9")
        rows = serving.provider("there", provider.url, api_key=f'"{PROVIDER_KEY}"')
        rows += serving.provider("unused", provider.url, api_key='"env:ELSEWHERE_API_KEY"')
        settings = {
            "LOGGING_DEFAULT": "all",
            "LOGGING_CONTENT": policy,
            "REDACTION_HOOK": "canary_hook:hook",
            "API_KEY": FIRST_KEY,
            "SPOOL_KEEP": "3600",
            "SPOOL_SEGMENT_BYTES": str(1 << 20),
            "SERVER_LOCAL_TESTING": "true",
        }
        with serving.serving(folder / "home", rows, **settings) as server:
            server.key = FIRST_KEY
            yield play(policy, server)


def play(policy: Content, server: Standpipe) -> Played:
    found = Found()
    callers = {"first": Caller(server, found, "first", FIRST_KEY)}
    for content in POLICIES:
        if content != policy:
            callers[content] = Caller(server, found, content, key_with(server, content))
    for caller in callers.values():
        everything_told(caller)
    for caller in callers.values():
        caller.ask("list", "GET", "/chat/completions?limit=100")
    show(server, found)
    everything(server, found)
    server.stop()
    everything_left(server, found)
    return Played(policy, server, found, callers)


def key_with(server: Standpipe, content: Content) -> str:
    _, token = new_token()
    with closing(Store.open(f"sqlite:///{server.home / 'standpipe.db'}")) as store:
        project = store.projects()[0]
        store.add_key(project.id, name="", read_only=False, token=token, content=content)
    return token


def everything_told(caller: Caller) -> None:
    """Put each canary where it belongs."""
    prompt, arguments = caller.canary("prompt"), {"to": caller.canary("arguments")}
    called = {"name": "f", "arguments": json.dumps(arguments)}
    history = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": called}]},
        {"role": "tool", "tool_call_id": "c", "content": f"{prompt} {caller.token} {FIRST_KEY}"},
    ]
    asked = {"model": "there:ok", "messages": history, "store": True}
    asked["metadata"] = {"name": caller.canary("metadata")}
    tags = json.dumps({"tag": caller.canary("tag")})
    for stream in (False, True):
        body = {**asked, "stream": stream}
        caller.ask(f"chat {stream}", "POST", "/chat/completions", body, op_tags=tags)
    for model in ("refused", "wrong-key", "cut"):
        for stream in (False, True):
            caller.chat(model, caller.canary("error"), stream=stream)
    caller.chat("ok", f"make the hook fail: {caller.canary('hook')}")
    post = ("POST", "/chat/completions")
    caller.ask("no model", *post, {**asked, "model": caller.canary("model")})
    caller.ask("odd header", *post, asked, op_log_request=caller.token)
    caller.ask("odd type", *post, asked, Content_Type=caller.canary("field"))
    caller.ask("wrong field", *post, {**asked, "temperature": caller.canary("field")})
    caller.ask("path", "GET", f"/chat/completions/{caller.canary('path')}")
    caller.ask("no path", "GET", f"/{caller.canary('path')}?q={caller.canary('query')}")
    caller.ask("query", "GET", f"/chat/completions?model={caller.canary('query')}&limit=x")
    reported = {"reqPayload": {"model": "m", "messages": [{"role": "user", "content": prompt}]}}
    reported["respPayload"] = {"choices": [{"message": {"content": caller.canary("reported")}}]}
    error = {"errorMessage": caller.canary("report"), "tags": {"t": caller.canary("tag")}}
    caller.ask("report", "POST", "/report", {**reported, **error, "statusCode": 200})
    label = {"filters": [], "metadata": {f"label-{caller.name}": caller.canary("label")}}
    caller.ask("label", "POST", "/logs/update-metadata", label)


def show(server: Standpipe, found: Found) -> None:
    """Add what the command line and the other routes tell."""
    caller = Caller(server, found, "nobody", FIRST_KEY)
    for path in ("/models", "/usage", "/local-testing-only-get-latest-logged-call"):
        answer = caller.ask(path, "GET", path)
        found.add("routes", answer.body)
    found.add("logs export", server.cli("logs", "export"))
    found.add("doctor", doctor(server))


def doctor(server: Standpipe) -> str:
    return server.cli("doctor", "--config", str(server.home / "standpipe.toml"), check=False)


def everything_left(server: Standpipe, found: Found) -> None:
    """Add what is on the disk once nothing runs."""
    for path in server.home.rglob("*"):
        if path.is_file() and path.name != "standpipe.toml":
            found.add(f"file {path.name}", path.read_bytes())


SECRETS = (PROVIDER_KEY, UNUSED_KEY, FIRST_KEY, PROXY_PASSWORD)


def test_no_secret_is_anywhere(played: Played) -> None:
    searched = ("environments", "command lines", "file serve.log", "doctor", "page /health")
    assert all(played.found.sinks[sink].strip() for sink in searched)
    for secret in SECRETS:
        assert not played.found.holding(secret), secret


def test_key_of_a_caller_is_nowhere_but_in_what_answers_it_alone(played: Played) -> None:
    for caller in played.callers.values():
        where = set(played.found.holding(caller.token))
        assert where <= {"answer: chat False", "answer: chat True"}, where


@pytest.mark.parametrize("place", PLACES)
def test_text_is_where_the_policy_lets_it_be_and_nowhere_else(played: Played, place: str) -> None:
    for who, caller in played.callers.items():
        policy = played.policy if who == "first" else who
        where = played.where(place, caller.name)
        if policy == "full" and place in KEPT:
            assert where >= KEPT[place]
        else:
            assert not where


def test_caller_is_told_what_is_not_kept(played: Played) -> None:
    for who, caller in played.callers.items():
        policy = played.policy if who == "first" else who
        dropped = "store=dropped, metadata=dropped" if policy == "none" else ""
        assert caller.told["chat False"] == caller.told["chat True"] == dropped


def test_numbers_are_the_same_whatever_becomes_of_the_texts(played: Played) -> None:
    with closing(Store.open(f"sqlite:///{played.server.home / 'standpipe.db'}")) as store:
        rows = store.logs(store.projects()[0].id, limit=1000)
    numbers = [sorted(map(_numbers, rows_of(caller, rows))) for caller in played.callers.values()]
    assert len(numbers[0]) > 10
    assert numbers[1:] == numbers[:-1]


def rows_of(caller: Caller, rows: list[Row]) -> list[Row]:
    name = public_id_of(caller.token)
    return [row for row in rows if row.key == name or (name is None and "-" in (row.key or ""))]


def _numbers(row: Row) -> str:
    return repr(
        (row.kind, row.status, row.outcome, row.usage, row.finish_reason, len(row.attempts))
    )


def test_password_of_a_database_that_is_away_is_nowhere(tmp_path: Path) -> None:
    url = f"postgresql://me:{PASSWORD}@127.0.0.1:{serving.free_port()}/canary"
    with serving.serving(tmp_path / "home", f'[store]\nurl = "{url}"\n') as server:
        found = Found()
        caller = Caller(server, found, "nobody", server.key)
        assert caller.chat("ok", "Hi").status == 503
        assert caller.ask("list", "GET", "/chat/completions").status == 503
        found.add("doctor", doctor(server))
        everything(server, found)
        end(server)
    found.add("log", server.log.read_bytes())
    assert "127.0.0.1" in found.sinks["doctor"].decode()
    assert not found.holding(PASSWORD)


def end(server: Standpipe) -> None:
    """Kill what would wait for its database before it stops."""
    supervisor = psutil.Process(server.process.pid)
    family = [supervisor, *supervisor.children(recursive=True)]
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=serving.PATIENCE)


def test_what_holds_a_secret_does_not_show_it() -> None:
    held = "canary-that-is-held-4716"
    secret = Secret(held)
    text = held.encode()
    holders = (
        secret,
        Settings(first_key=secret, store=StoreSettings(url=held), proxies={"ALL_PROXY": held}),
        Settings(providers={"there": Provider(api_key=secret)}).providers,
        StoreSettings(url=held),
        WorkerSpec(None, held, 0, ()),
        DrainSpec(held, "spool"),
        Prepared(token=held),
        Address(port=1, key=held),
        Incoming(authorization=text, api_key=text),
        Request("POST", "/", ((b"authorization", text),), text),
        Credentials(held, held, held),
        Proxy.parse(f"http://me:{held}@there"),
        KnownSecrets([held]),
    )
    assert not [type(holder) for holder in holders if held in repr(holder)]
