from __future__ import annotations

from pathlib import Path

import misbehaving
import pytest
from command_line import CommandLine
from serving import KEY, free_port, provider, serving

from standpipe.spool import Spool
from standpipe.store import Project, new_token
from standpipe.store.store import Store
from standpipe.wire.ids import new_id
from standpipe.wire.record import Record, encode

SECRET = "a-provider-key-that-nobody-may-see"


def doctor(cli: CommandLine, configuration: str = "", **settings: str) -> tuple[int, str]:
    """Return exit status and output; the port is a free one."""
    cli.home.mkdir(exist_ok=True)
    file = cli.home / "standpipe.toml"
    file.write_text(configuration)
    settings.setdefault("STANDPIPE_SERVER_PORT", str(free_port()))
    done = cli.run("doctor", "--config", str(file), **settings)
    assert done.stderr == ""
    return done.returncode, done.stdout


def line(told: str, what: str) -> str:
    return next(line for line in told.splitlines() if f" {what}: " in line)


@pytest.fixture
def key(store: Store, project: Project) -> str:
    _, token = new_token()
    store.add_key(project.id, name="", read_only=False, token=token)
    return token


def test_healthy_server_has_nothing_wrong(tmp_path: Path) -> None:
    with misbehaving.running() as upstream:
        row = provider("acme", upstream.url, api_key=f'"{SECRET}"')
        with serving(tmp_path / "home", row) as server:
            cli = CommandLine(server.home)
            status, told = doctor(
                cli, row, STANDPIPE_SERVER_PORT=str(server.port), STANDPIPE_API_KEY=KEY
            )
    assert status == 0, told
    assert "answers at 127.0.0.1" in line(told, "Server")
    assert line(told, "Provider acme").startswith("ok")
    assert SECRET not in told
    assert KEY not in told
    assert upstream.requests == []


def test_hook_that_is_not_there_is_wrong(cli: CommandLine) -> None:
    status, told = doctor(cli, '[redaction]\nhook = "nowhere:hook"\n')
    assert status == 1
    assert line(told, "Texts").startswith("wrong  Texts: redaction.hook = 'nowhere:hook'")


def test_before_the_first_start_only_notes(cli: CommandLine) -> None:
    status, told = doctor(cli, provider("acme", f"http://127.0.0.1:{free_port()}"))
    assert status == 1
    assert line(told, "Store").startswith("note")
    assert line(told, "Provider acme").startswith("wrong")
    assert not (cli.home / "standpipe.db").exists()


def test_wrong_configuration_is_told_first(cli: CommandLine) -> None:
    status, told = doctor(cli, "[server]\nprot = 1\n")
    assert status == 1
    assert "did you mean 'port'?" in line(told, "Configuration")


def test_names_of_variables_are_told_and_not_their_values(cli: CommandLine, key: str) -> None:
    _, told = doctor(cli, OPENAI_API_KEY=SECRET, OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert "OPENAI_API_KEY" in line(told, "Configuration")
    assert SECRET not in told


def test_taken_port_is_wrong(cli: CommandLine, key: str) -> None:
    with misbehaving.running() as upstream:
        status, told = doctor(cli, STANDPIPE_SERVER_PORT=str(upstream.port))
    assert status == 1
    assert "taken" in line(told, "Server")


def test_store_without_a_working_key_is_wrong(
    cli: CommandLine, store: Store, project: Project
) -> None:
    status, told = doctor(cli)
    assert status == 1
    assert line(told, "Keys").startswith("wrong")


def test_first_key_that_is_not_in_the_store_is_wrong(cli: CommandLine, key: str) -> None:
    _, told = doctor(cli, STANDPIPE_API_KEY=SECRET)
    assert line(told, "STANDPIPE_API_KEY").startswith("wrong")
    assert SECRET not in told
    _, told = doctor(cli, STANDPIPE_API_KEY=key)
    assert "STANDPIPE_API_KEY:" not in told


def test_admin_key_that_is_none_is_wrong(cli: CommandLine, key: str) -> None:
    _, told = doctor(cli, STANDPIPE_ADMIN_KEY=key)
    assert line(told, "STANDPIPE_ADMIN_KEY").startswith("wrong")
    admin = cli("keys", "create", "--admin").strip()
    _, told = doctor(cli, STANDPIPE_ADMIN_KEY=admin)
    assert "STANDPIPE_ADMIN_KEY:" not in told
    assert admin not in told


def test_store_that_is_none_is_wrong(cli: CommandLine) -> None:
    cli.home.mkdir()
    (cli.home / "standpipe.db").write_bytes(b"no database" * 100)
    status, told = doctor(cli)
    assert status == 1
    assert line(told, "Store").startswith("wrong")


def test_waiting_records_are_counted(cli: CommandLine, key: str, project: Project) -> None:
    spool = Spool(cli.home / "spool", boot="0199f3a21b2cabcdef", worker=0, segment_bytes=1 << 16)
    record = Record(
        id=new_id(),
        kind="chat",
        project=project.id,
        key=None,
        requested_at=1,
        received_at=2,
        outcome="complete",
        status=200,
        logged=False,
    )
    spool.append(encode(record))
    spool.close()
    _, told = doctor(cli)
    assert line(told, "Spool").startswith("note")
    assert "bytes wait" in line(told, "Spool")


def test_damaged_segment_is_wrong(cli: CommandLine, key: str) -> None:
    (cli.home / "spool").mkdir()
    (cli.home / "spool" / "0199f3a21b2cabcdef-0-00000001.damaged").write_bytes(b"x")
    (cli.home / "spool" / "0199f3a21b2cabcdef-0-00000002.seg").write_bytes(b"x" * 100)
    status, told = doctor(cli)
    assert status == 1
    assert "2 damaged segments" in told


def test_provider_that_speaks_no_tls_is_wrong(cli: CommandLine, key: str) -> None:
    with misbehaving.running() as upstream:
        url = upstream.url.replace("http:", "https:")
        status, told = doctor(cli, provider("acme", url))
    assert status == 1
    assert line(told, "Provider acme").startswith("wrong")


def test_model_of_two_providers_is_noted(cli: CommandLine, key: str) -> None:
    with misbehaving.running() as upstream:
        rows = [provider(name, upstream.url, models='["m"]') for name in ("one", "two")]
        status, told = doctor(cli, "".join(rows))
    assert status == 0, told
    assert "one, two" in line(told, "Models")


def test_open_address_is_noted(cli: CommandLine, key: str) -> None:
    _, told = doctor(cli, STANDPIPE_SERVER_HOST="0.0.0.0")
    assert line(told, "Address").startswith("note")


def test_damaged_weights_are_wrong(cli: CommandLine, key: str) -> None:
    from standpipe.engine import weights

    folder = cli.home / "models"
    folder.mkdir()
    with (folder / weights.FILE).open("wb") as file:
        file.truncate(weights.SIZE)
    status, told = doctor(cli, STANDPIPE_LOCAL_ENABLED="true")
    assert status == 1
    assert "damaged" in line(told, "Local model")


def test_models_are_listed_with_where_they_lead(cli: CommandLine) -> None:
    route = '[routes.fast]\ntargets = [{ provider = "one", model = "big" }]\n'
    rows = [provider(name, "http://127.0.0.1:9", models='["m"]') for name in ("one", "two")]
    cli.home.mkdir()
    (cli.home / "standpipe.toml").write_text("".join([*rows, route]))
    told = cli("models", "list", "--config", str(cli.home / "standpipe.toml"))
    assert "route to big" in told
    assert "one:<model>" in told
    assert "only as two:m" in told


def test_target_of_a_route_that_leads_nowhere_is_wrong(cli: CommandLine, key: str) -> None:
    row = provider("acme", f"http://127.0.0.1:{free_port()}")
    for place in ("targets", "fallback"):
        led = {"targets": "acme", "fallback": "acme", place: "gone"}
        targets = [f'{n} = [{{ provider = "{led[n]}", model = "m" }}]' for n in led]
        status, told = doctor(cli, "\n".join([row, "[routes.r]", *targets]))
        assert status == 1
        assert f"routes.'r'.{place}: no provider 'gone'" in line(told, "Routes")
