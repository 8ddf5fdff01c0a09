"""Settings: order, errors, secrets, and that all of them are documented."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from standpipe import config
from standpipe.calls import upstreams
from standpipe.calls.routes import Route, Target
from standpipe.errors import ConfigError
from standpipe.providers.rows import completed

DOCS = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()

EXAMPLE = """
[server]
port = 9000
[providers.my-vllm]
base_url = "http://127.0.0.1:8000/v1"
api_key = "env:MY_VLLM_KEY"
models = ["llama-3"]
timeouts = { connect = 1, first_byte = 2, idle = 3, total = 4 }
[routes."fast"]
targets = [{ provider = "my-vllm", model = "llama-3" }]
retries = 0
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "standpipe.toml"
    file.write_text(text)
    return file


def test_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    file = write(tmp_path, EXAMPLE)
    settings = config.load(file, {"MY_VLLM_KEY": "k", "STANDPIPE_SERVER_PORT": "9001"})
    provider = settings.providers["my-vllm"]
    assert settings.server.port == 9001
    assert provider.api_key is not None
    assert provider.api_key.reveal() == "k"
    assert provider.timeouts == config.Timeouts(connect=1, first_byte=2, idle=3, total=4)
    assert settings.routes["fast"].targets[0].model == "llama-3"
    assert settings.sources["server.port"] == "STANDPIPE_SERVER_PORT"
    assert settings.sources["routes.fast.targets"] == str(file)


def test_file_is_found_by_variable_and_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, "[server]\nport = 1234\n")
    assert config.load(None, {"STANDPIPE_CONFIG": str(file)}).server.port == 1234
    monkeypatch.chdir(tmp_path)
    assert config.load(None, {}).server.port == 1234


def test_home_follows_the_desktop_convention() -> None:
    assert config.load(None, {"XDG_DATA_HOME": "/data"}).home == Path("/data/standpipe")
    assert config.load(None, {"STANDPIPE_HOME": "/here"}).home == Path("/here")


def test_openai_needs_no_table() -> None:
    environ = {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    openai = completed(config.load(None, environ)).providers["openai"]
    assert openai.base_url == "http://127.0.0.1:1/v1"
    assert openai.api_key is not None
    assert completed(config.load(None, {})).providers == {}


def test_known_place_needs_its_key_alone(tmp_path: Path) -> None:
    environ = {"GROQ_API_KEY": "gsk-1", "ANTHROPIC_API_KEY": "sk-ant-1"}
    found = completed(config.load(None, environ)).providers
    assert list(found) == ["anthropic", "groq"]
    assert (found["anthropic"].dialect, found["groq"].dialect) == ("anthropic", "openai")
    assert found["groq"].base_url == "https://api.groq.com/openai/v1"
    file = write(tmp_path, "[providers.groq]\nmodels = ['llama']\n")
    groq = completed(config.load(file, environ)).providers["groq"]
    assert groq.models == ("llama",)
    assert groq.api_key is not None
    assert groq.api_key.reveal() == "gsk-1"


def test_place_that_nobody_knows_needs_a_base_url(tmp_path: Path) -> None:
    file = write(tmp_path, "[providers.acme]\n")
    with pytest.raises(ConfigError, match=r"providers\.acme\.base_url: is required"):
        completed(config.load(file, {}))


def test_route_to_a_provider_that_is_not_there_is_named(tmp_path: Path) -> None:
    text = "[routes.r]\ntargets = [{provider = 'nope', model = 'm'}]\n"
    settings = completed(config.load(write(tmp_path, text), {}))
    with pytest.raises(ConfigError, match="no provider 'nope'"):
        upstreams.routing(settings, upstreams.providers(settings))


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ("model = 'x'", "parameters.model: is the caller's to say"),
        ("stream = true", "parameters.stream: is the caller's to say"),
        ("input = 'x'", "parameters.input: is the caller's to say"),
        ("temperature = 3", "parameters.temperature: must be"),
    ],
)
@pytest.mark.parametrize("place", ["targets", "fallback"])
def test_parameters_that_no_request_may_have_are_named(
    tmp_path: Path, parameters: str, says: str, place: str
) -> None:
    row = f"[[routes.r.{place}]]\nprovider = 'local'\nmodel = 'm'\n"
    text = f"{row}[routes.r.{place}.parameters]\n{parameters}\n"
    if place == "fallback":
        text += "[[routes.r.targets]]\nprovider = 'local'\nmodel = 'm'\n"
    settings = completed(config.load(write(tmp_path, text), {}))
    with pytest.raises(ConfigError) as caught:
        upstreams.routing(settings, upstreams.providers(settings))
    assert f"routes.'r'.{place}[0]." in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("model", ["mix", "openpipe:mix", "openpipe:moa-gpt-4-v1", "groq:x"])
@pytest.mark.parametrize("key", ["candidates[1].model", "critique", "final"])
def test_mixture_of_what_is_no_model_is_named(tmp_path: Path, model: str, key: str) -> None:
    named = {"candidates[1].model": "local:m", "critique": "local:m", "final": "local:m"}
    first, critique, final = {**named, key: model}.values()
    text = f"[mixtures.mix]\ncritique = '{critique}'\nfinal = '{final}'\n"
    text += f"candidates = [{{ model = 'local:m' }}, {{ model = '{first}' }}]\n"
    settings = completed(config.load(write(tmp_path, text), {}))
    with pytest.raises(ConfigError) as caught:
        upstreams.routing(settings, upstreams.providers(settings))
    assert f"mixtures.'mix'.{key} = '{model}': " in str(caught.value)


def test_mixture_that_answers_by_itself_and_names_no_critic_is_named_once(tmp_path: Path) -> None:
    text = "[mixtures.mix]\nfinal = 'mix'\ncandidates = [{ model = 'local:m' }]\n"
    settings = completed(config.load(write(tmp_path, text), {}))
    with pytest.raises(ConfigError, match="final = 'mix': model: 'mix' is a mixture"):
        upstreams.routing(settings, upstreams.providers(settings))


def test_one_that_answers_criticises_too_unless_another_is_named(tmp_path: Path) -> None:
    text = "[mixtures.mix]\nfinal = 'local:m'\ncandidates = [{ model = 'local:c', number = 2 }]\n"
    settings = completed(config.load(write(tmp_path, text), {}))
    routes = upstreams.routing(settings, upstreams.providers(settings))
    mixture = routes.mixture("mix")
    assert mixture is not None
    assert mixture.models == ["local:c", "local:m", "local:m"]
    assert mixture.answers == 4


def test_route_is_read_whole(tmp_path: Path) -> None:
    text = """
    [routes.r]
    choice = "fastest"
    sticky = "session"
    max_in_flight = 9
    failures = 2
    rest = 1.5
    fallback = [{ provider = "local", model = "f" }]
    [[routes.r.targets]]
    provider = "local"
    model = "m"
    weight = 2
    max_in_flight = 3
    parameters = { seed = 1, x_new = { deep = [1] } }
    """
    settings = completed(config.load(write(tmp_path, text), {}))
    route = upstreams.routing(settings, upstreams.providers(settings)).resolve("r")
    assert route == Route(
        (Target("local", "m", 2.0, 3, {"seed": 1, "x_new": {"deep": [1]}}),),
        (Target("local", "f"),),
        choice="fastest",
        sticky="session",
        max_in_flight=9,
        failures=2,
        rest=1.5,
        name="r",
    )


def test_several_keys_are_read_and_come_before_the_environments(tmp_path: Path) -> None:
    file = write(tmp_path, "[providers.groq]\napi_keys = ['env:FIRST', 'two']\n")
    environ = {"FIRST": "canary", "GROQ_API_KEY": "other"}
    settings = completed(config.load(file, environ))
    groq = settings.providers["groq"]
    assert (groq.api_key, [key.reveal() for key in groq.api_keys]) == (None, ["canary", "two"])
    assert "providers.groq.api_key" not in settings.sources
    assert "canary" not in repr(groq)


def test_kubernetes_service_variables_are_not_ours() -> None:
    environ = {"STANDPIPE_PORT": "tcp://10.0.0.1:8787", "STANDPIPE_SERVICE_HOST": "10.0.0.1"}
    assert config.load(None, environ).server.port == 8787


def test_secrets_do_not_show_themselves(tmp_path: Path) -> None:
    file = write(tmp_path, EXAMPLE)
    environ = {
        "MY_VLLM_KEY": "canary-provider",
        "XAI_API_KEY": "canary-x",
        "STANDPIPE_API_KEY": "canary-first-key-xyz",
    }
    settings = config.load(file, environ)
    assert "canary" not in f"{settings!r} {settings}"


DRAFTS = "{model = 'x', number = 9}"
TARGET = "provider = 'x', model = 'm'"
BAD = [
    ("[server]\nprot = 1\n", {}, "unknown setting 'server.prot'; did you mean 'port'?"),
    ("[sever]\nport = 1\n", {}, "unknown setting 'sever'; did you mean 'server'?"),
    ("[server]\nport = 'x'\n", {}, "server.port: expected `int`, got `str`"),
    ("[server]\nport = 70000\n", {}, "server.port = 70000: must be from 0 to 65535"),
    ("[logging]\ndefault = 'yes'\n", {}, "logging.default: invalid enum value 'yes'"),
    ("[providers.x]\nbase_url = 'ftp://h'\n", {}, "not an http(s) URL"),
    ("[telemetry]\notlp_endpoint = 'h:1'\n", {}, "telemetry.otlp_endpoint = 'h:1': not an http"),
    ("[telemetry]\npropagate = true\n", {}, "propagate = true: needs telemetry.otlp_endpoint"),
    ("[telemetry]\nheaders = { 'a b' = 'x' }\n", {}, "'a b' is no name of a header"),
    ("[providers.x]\nbase_url = 'http://u:p@h'\n", {}, "must have no user, password"),
    ("[providers.local]\nbase_url = 'http://h'\n", {}, "the name `local` is the embedded"),
    ("[providers.'a b']\nbase_url = 'http://h'\n", {}, "a provider's name is letters"),
    ("[providers.x]\nbase_url = 'http://h'\napi_key = 'env:NO'\n", {}, "variable NO is not set"),
    ("[providers.x]\nbase_url = 'http://h'\napi_key = \"a\\nb\"\n", {}, "printable ASCII"),
    ("[providers.x]\nbase_url = 'http://h'\ntimeouts = {idle = 0}\n", {}, "timeouts.idle"),
    ("[providers.x]\nbase_url = 'http://h'\ntimeouts = {idel = 1}\n", {}, "did you mean 'idle'?"),
    ("[providers.x]\nbase_url = 'http://h'\nmax_connections = 0\n", {}, "at least 1"),
    ("[providers.x]\n[providers.y]\nbase_url = 1\n", {}, "providers.'y'.base_url: expected"),
    ("[mixtures.m]\ncandidates = []\n", {}, "mixtures.'m': object missing required field `final`"),
    ("[mixtures.m]\nfinal = 'x'\ncandidates = []\n", {}, "0 drafts: must be 1 to 16"),
    (f"[mixtures.m]\nfinal = 'x'\ncandidates = [{DRAFTS}, {DRAFTS}]\n", {}, "18 drafts"),
    (f"[mixtures.m]\nfinal = ''\ncandidates = [{DRAFTS}]\n", {}, "final: the model that answers"),
    (
        "[mixtures.m]\nfinal = 'x'\ncandidates = [{model = 'x', temperature = 3}]\n",
        {},
        "candidates[0].temperature = 3.0: must be from 0 to 2",
    ),
    (
        f"[routes.r]\ntargets = [{{{TARGET}}}]\n[mixtures.r]\nfinal = 'x'\n"
        f"candidates = [{DRAFTS}]\n",
        {},
        "must have a name that is no route's",
    ),
    ("[routes.r]\ntargets = []\n", {}, "at least one target"),
    (f"[routes.r]\ntargets = [{{{TARGET}, weight = 0}}]\n", {}, "weight = 0.0: must be over 0"),
    (f"[routes.r]\ntargets = [{{{TARGET}, max_in_flight = -1}}]\n", {}, "targets[0].max_in_flight"),
    (f"[routes.r]\nrest = 0\ntargets = [{{{TARGET}}}]\n", {}, "rest = 0.0: must be from 0.1"),
    (f"[routes.r]\nchoice = 'best'\ntargets = [{{{TARGET}}}]\n", {}, "invalid enum value 'best'"),
    (
        f"[routes.r]\ntargets = [{{{TARGET}}}]\nfallback = [{{{TARGET}, weight = 2}}]\n",
        {},
        "fallback[0].weight: they are tried in their order",
    ),
    ("[providers.x]\nbase_url = 'http://h'\napi_key = 'a'\napi_keys = ['b']\n", {}, "keep one"),
    ("[providers.x]\nbase_url = 'http://h'\napi_keys = ['b', \"a\\nb\"]\n", {}, "api_keys[1]"),
    ("[providers.x]\nbase_url = 'http://h'\napi_keys = ['env:NO']\n", {}, "NO is not set"),
    ("[routes.r]\ntargets = [{provder = 'x', model = 'm'}]\n", {}, "did you mean 'provider'?"),
    ("[routes.r]\nretries = 99\ntargets = [{provider = 'local', model = 'm'}]\n", {}, "0 to 10"),
    ("[usage]\nmetadata = ['team', '']\n", {}, "usage.metadata"),
    ("[prices.'m']\ninput = '1'\noutput = '1'\n", {}, "prices.'m'"),
    ("[prices.'p/m']\ninput = '1e3'\noutput = '1'\n", {}, "prices.'p/m'.input = '1e3'"),
    ("[prices.'p/m']\ninput = '0.1234567'\noutput = '1'\n", {}, "'0.1234567'"),
    ("not toml", {}, "is not TOML"),
    ("", {"STANDPIPE_SERVER_PROT": "1"}, "did you mean 'STANDPIPE_SERVER_PORT'?"),
    ("", {"STANDPIPE_SERVER_PORT": "x"}, "server.port"),
    ("", {"STANDPIPE_API_KEY": "short"}, "16 or more"),
    ("first_key = 'x'\n", {}, "unknown setting 'first_key'"),
    ("", {"STANDPIPE_ADMIN_KEY": "short"}, "STANDPIPE_ADMIN_KEY: a key is 16 or more"),
    ("admin_key = 'x'\n", {}, "unknown setting 'admin_key'"),
]


@pytest.mark.parametrize(("text", "environ", "message"), BAD)
def test_wrong_setting_is_named(
    tmp_path: Path, text: str, environ: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(write(tmp_path, text), environ)
    assert message in str(caught.value)


def test_text_of_a_file_stands_for_the_file(tmp_path: Path) -> None:
    file = tmp_path / "standpipe.toml"
    file.write_text("[server]\nport = 1234\n")
    before = config.load(file, {})
    file.write_text("[server\n")
    after = config.load(before.file, {"STANDPIPE_SERVER_GRACE": "1"}, text=before.text)
    assert (after.server.port, after.file, after.text) == (1234, str(file), before.text)
    assert config.load(None, {"STANDPIPE_CONFIG": str(file)}, text="").file is None
    with pytest.raises(ConfigError, match=f"{file} is not TOML"):
        config.load(file, {}, text="[server\n")


def test_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"/nowhere\.toml"):
        config.load("/nowhere.toml", {})


def test_every_plain_setting_is_documented_with_its_variable() -> None:
    for dotted, _ in config.plain_settings():
        assert f"| `{dotted}` | `{config.variable(dotted)}` |" in DOCS
    for name in config.SPECIAL_VARIABLES:
        assert f"`{name}`" in DOCS


@pytest.mark.parametrize(
    "struct",
    [
        config.Provider,
        config.Route,
        config.Target,
        config.Timeouts,
        config.LocalModel,
        config.Price,
    ],
)
def test_every_setting_of_a_table_is_documented(struct: type[Any]) -> None:
    prefix = "timeouts." if struct is config.Timeouts else ""
    for setting in msgspec.structs.fields(struct):
        if setting.name != "timeouts":
            assert f"| `{prefix}{setting.name}` |" in DOCS


def test_documentation_names_no_setting_that_is_not_there() -> None:
    known = {dotted for dotted, _ in config.plain_settings()}
    # Tables, for the file alone.
    known |= {"local.adapters", "redaction.patterns", "telemetry.headers"}
    sections = "|".join(name.partition(".")[0] for name in known)
    named = re.findall(rf"^\| `((?:{sections})\.\w+)`", DOCS, re.MULTILINE)
    assert set(named) == known
