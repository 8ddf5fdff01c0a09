"""LiteLLM's configurations: what comes of them loads, and what does not come is named."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from hypothesis import given, settings
from hypothesis import strategies as st

from standpipe import config
from standpipe.calls import upstreams
from standpipe.calls.routes import Route
from standpipe.cli import toml_text
from standpipe.cli.litellm.form import translated
from standpipe.config import Settings
from standpipe.providers.rows import completed

#: Several places behind one name, as a team that balances Azure with OpenAI has them.
BALANCED = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://eu.openai.azure.com/
      api_key: os.environ/AZURE_EU_KEY
      api_version: "2023-07-01-preview"
      rpm: 6
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-ca
      api_base: https://ca.openai.azure.com/
      api_key: os.environ/AZURE_CA_KEY
      rpm: 12
  - model_name: gpt-4o
    litellm_params: &openai
      model: gpt-4o
      api_key: os.environ/OPENAI_API_KEY
      temperature: 0.2
    model_info:
      id: the-last-one
      input_cost_per_token: 0.0000025
      output_cost_per_token: 1e-5
  - model_name: claude
    litellm_params:
      model: anthropic/claude-sonnet-4
      api_key: os.environ/ANTHROPIC_API_KEY
      weight: 2
      max_parallel_requests: 30
  - model_name: claude
    litellm_params:
      model: bedrock/converse/us.anthropic.claude-sonnet-4-v1:0
      aws_region_name: eu-west-1
      aws_access_key_id: os.environ/AWS_ID
      aws_secret_access_key: os.environ/AWS_KEY
router_settings:
  routing_strategy: latency-based-routing
  model_group_alias: {"gpt-4": "gpt-4o", "hidden": {"model": "claude", "hidden": true}}
  num_retries: 2
  timeout: 30
  allowed_fails: 3
  cooldown_time: 60
  redis_host: os.environ/REDIS_HOST
litellm_settings:
  num_retries: 5
  fallbacks: [{"gpt-4o": ["claude"]}, {"claude": ["the-last-one", "gone"]}]
  context_window_fallbacks: [{"gpt-4o": ["claude"]}]
  drop_params: true
  cache: true
  cache_params: {type: redis}
  success_callback: ["langfuse"]
  set_verbose: false
general_settings:
  master_key: sk-1234
  database_url: postgresql://llm:canary@db/litellm
"""
#: Many models of one's own, and keys in the file.
SELF_HOSTED = """
model_list:
  - model_name: llama
    litellm_params: {model: openai/meta/llama-3, api_base: "http://vllm-1:8000/v1", api_key: none}
  - model_name: llama
    litellm_params: {model: hosted_vllm/meta/llama-3, api_base: "http://vllm-2:8000/v1"}
  - model_name: small
    litellm_params: {model: ollama_chat/llama3:8b, api_base: "http://localhost:11434"}
  - model_name: fast
    litellm_params: {model: groq/llama-3.1-8b-instant, api_key: gsk-one, tpm: 1000}
  - model_name: fast
    litellm_params: {model: groq/llama-3.1-8b-instant, api_key: gsk-two, tpm: 500}
  - model_name: fast
    litellm_params: {model: together_ai/llama, api_key: os.environ/TOGETHER_API_KEY}
  - model_name: embed
    litellm_params: {model: text-embedding-3-small, litellm_credential_name: ours}
    model_info: {mode: embedding}
  - model_name: "anthropic/*"
    litellm_params: {model: "anthropic/*", api_key: os.environ/ANTHROPIC_API_KEY}
  - model_name: vertex
    litellm_params: {model: vertex_ai/gemini-pro, vertex_project: p}
  - model_name: picture
    litellm_params: {model: dall-e-3}
    model_info: {mode: image_generation}
  - model_name: search
    litellm_params: {model: perplexity/sonar}
credential_list:
  - credential_name: ours
    credential_values: {api_key: os.environ/OPENAI_API_KEY}
litellm_settings:
  request_timeout: 10
  default_fallbacks: [small]
environment_variables:
  PERPLEXITYAI_API_KEY: canary
guardrails:
  - guardrail_name: pii
"""
NOTHING = "model_list: []\n"
VARIABLES = {
    name: f"value-of-{name}"
    for name in (
        *("AZURE_EU_KEY", "AZURE_CA_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AWS_ID"),
        *("AWS_KEY", "TOGETHER_API_KEY", "PERPLEXITYAI_API_KEY"),
    )
}


def brought(cli: CommandLine, text: str) -> tuple[Settings, str]:
    """Return the settings that come of a configuration, and what the command says."""
    file = cli.home.parent / "litellm.yaml"
    file.write_text(text)
    output = cli.home.parent / "standpipe.toml"
    done = cli.run("import", "litellm", str(file), "-o", str(output), **VARIABLES)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert "before it can be used" not in done.stderr
    return completed(config.load(output, VARIABLES)), done.stderr


def route(loaded: Settings, name: str) -> Route:
    found = upstreams.routing(loaded, upstreams.providers(loaded)).resolve(name)
    assert isinstance(found, Route)
    return found


def rows_keys(loaded: Settings) -> dict[str, str]:
    rows = loaded.providers.items()
    return {name: row.api_key.reveal() for name, row in rows if row.api_key is not None}


def test_second_account_of_a_known_place_is_a_provider_of_its_own() -> None:
    deployments = [
        {"model_name": name, "litellm_params": {"model": "groq/m", "api_base": base}}
        for name, base in (("a", None), ("b", "https://local.example/v1"))
    ]
    found, notes = translated({"model_list": deployments})
    second = {"base_url": "https://local.example/v1", "api_key": "env:GROQ_API_KEY"}
    assert found["providers"] == {"groq": {}, "groq-2": second}
    assert "a second groq" in notes[0].why


def test_own_place_of_any_host_gets_a_name_that_may_be() -> None:
    for host in ("local.example", "x" * 70 + ".example", "localhost", "[::1]"):
        params = {"model": "openai/m", "api_base": f"http://{host}:1/v1"}
        deployment = {"model_name": "a", "litellm_params": params}
        found, _ = translated({"model_list": [deployment]})
        loaded = config.load(environ={}, text=toml_text.written(found))
        assert len(loaded.providers) == 1


@pytest.mark.parametrize("price", ["abc", -1, 1e9, float("inf")])
def test_price_that_is_none_is_named(price: object) -> None:
    info = {"input_cost_per_token": price, "output_cost_per_token": 1e-6}
    deployment = {"model_name": "a", "litellm_params": {"model": "groq/m"}, "model_info": info}
    found, notes = translated({"model_list": [deployment]})
    assert "prices" not in found
    assert "model_list[0].model_info.input_cost_per_token" in [note.place for note in notes]


def test_several_deployments_of_a_name_are_one_route(cli: CommandLine) -> None:
    loaded, told = brought(cli, BALANCED)
    gpt = route(loaded, "gpt-4o")
    assert [(t.provider, t.model, t.weight) for t in gpt.targets] == [
        ("azure", "gpt-4o-eu", 6.0),
        ("azure-2", "gpt-4o-ca", 12.0),
        ("openai", "gpt-4o", 6.0),
    ]
    assert gpt.targets[2].parameters == {"temperature": 0.2}
    assert [t.provider for t in gpt.fallback] == ["anthropic", "bedrock"]
    assert (gpt.choice, gpt.retries, gpt.failures, gpt.rest) == ("fastest", 2, 4, 60.0)
    claude = route(loaded, "claude")
    assert [(t.weight, t.max_in_flight) for t in claude.targets] == [(2.0, 30), (2.0, 0)]
    assert [t.provider for t in claude.fallback] == ["openai"]
    assert route(loaded, "gpt-4").targets == gpt.targets
    assert rows_keys(loaded)["azure-2"] == "value-of-AZURE_CA_KEY"
    assert route(loaded, "hidden").targets == claude.targets
    rows = loaded.providers
    assert rows["azure-2"].base_url == "https://ca.openai.azure.com/openai/v1"
    assert rows["bedrock"].region == "eu-west-1"
    assert rows["azure"].timeouts.total == rows["bedrock"].timeouts.total == 30.0
    assert loaded.prices["openai/gpt-4o"] == config.Price(input="2.5", output="10")
    assert "canary" not in told


PLACES = (
    "line 8, model_list[0].litellm_params.api_version",
    "model_list[0].litellm_params.rpm",
    "model_list[2].litellm_params.temperature",
    "router_settings.redis_host",
    "litellm_settings.fallbacks[1].claude: no route or id: 'gone'",
    "litellm_settings.context_window_fallbacks",
    "litellm_settings.drop_params",
    "litellm_settings.cache",
    "litellm_settings.success_callback",
    "general_settings.master_key: `standpipe keys create`",
    "general_settings.database_url",
)


def test_what_is_not_carried_is_named_with_its_place(cli: CommandLine) -> None:
    _, told = brought(cli, BALANCED)
    assert [place for place in PLACES if place not in told] == []
    assert "set_verbose" not in told  # it asks for nothing


def test_models_of_ones_own_and_keys_in_the_file(cli: CommandLine) -> None:
    loaded, told = brought(cli, SELF_HOSTED)
    rows = loaded.providers
    assert [t.provider for t in route(loaded, "llama").targets] == ["vllm-1", "vllm"]
    assert rows["vllm-1"].base_url == "http://vllm-1:8000/v1"
    assert rows["ollama"].base_url == "http://localhost:11434/v1"
    assert [key.reveal() for key in rows["groq"].api_keys] == ["gsk-one", "gsk-two"]
    fast = route(loaded, "fast")
    assert [(t.provider, t.weight) for t in fast.targets] == [("groq", 1500), ("together", 1500)]
    assert route(loaded, "embed").targets[0].provider == "openai"
    assert rows["perplexity"].base_url == "https://api.perplexity.ai"
    assert [t.model for t in route(loaded, "search").fallback] == ["llama3:8b"]
    assert rows["groq"].timeouts.total == 10.0
    for place in (
        "model_list[7].model_name: a pattern",
        "model_list[8].litellm_params.model: 'vertex_ai/gemini-pro'",
        "model_list[9].model_info.mode: image_generation",
        "environment_variables.PERPLEXITYAI_API_KEY",
        "guardrails",
    ):
        assert place in told
    assert "canary" not in told
    assert "gsk-" not in told


def test_result_says_itself_what_it_lacks(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(NOTHING + "router_settings: {redis_port: 1}\n")
    printed = cli("import", "litellm", str(tmp_path / "a.yaml"))
    assert "# line 2, router_settings.redis_port: " in printed
    assert tomllib.loads(printed) == {}


def test_variable_that_is_not_set_is_told(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(BALANCED)
    done = cli.run("import", "litellm", str(tmp_path / "a.yaml"))
    assert done.returncode == 0
    assert "before it can be used: " in done.stderr
    assert "AZURE_EU_KEY is not set" in done.stderr


def test_file_that_is_there_stays(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(NOTHING)
    (tmp_path / "b.toml").write_text("mine")
    said = cli.fails("import", "litellm", str(tmp_path / "a.yaml"), "-o", str(tmp_path / "b.toml"))
    assert "is there already" in said
    assert (tmp_path / "b.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "is not YAML"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
        ("\x00", "is not YAML"),
    ],
)
def test_what_is_no_yaml_is_one_line(
    cli: CommandLine, tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert says in cli.fails("import", "litellm", str(tmp_path / "a.yaml"))


def test_missing_file_is_named(cli: CommandLine, tmp_path: Path) -> None:
    assert "No such file" in cli.fails("import", "litellm", str(tmp_path / "gone.yaml"))


WORDS = st.sampled_from(
    [
        *("model_list", "model_name", "litellm_params", "model", "api_base", "api_key", "rpm"),
        *("model_info", "mode", "router_settings", "litellm_settings", "general_settings"),
        *("fallbacks", "num_retries", "timeout", "default_fallbacks", "model_group_alias", "*"),
        *(
            "openai/m",
            "azure/m",
            "bedrock/m",
            "groq/m",
            "gpt-4",
            "http://h/v1",
            "id",
            "weight",
            "http://[",
        ),
        *("extra_body", "environment_variables", "credential_list", "input_cost_per_token"),
    ]
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), WORDS)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=40,
)


@given(TREES)
@settings(max_examples=300, deadline=None)
def test_any_tree_is_read_and_what_comes_is_toml(tree: Any) -> None:
    found, _ = translated(tree)
    assert tomllib.loads(toml_text.written(found)).keys() == found.keys()


PARAMETERS = st.fixed_dictionaries({"model": WORDS}, optional={"api_base": LEAVES, "rpm": LEAVES})


@given(st.lists(st.fixed_dictionaries({"model_name": st.text(), "litellm_params": PARAMETERS})))
@settings(max_examples=200, deadline=None)
def test_any_list_of_deployments_is_read(deployments: list[Any]) -> None:
    found, _ = translated({"model_list": deployments, "router_settings": {"timeout": 5}})
    written = tomllib.loads(toml_text.written(found))
    assert written.get("routes", {}).keys() == found.get("routes", {}).keys()
