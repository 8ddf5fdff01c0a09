"""Several local models and their adapters on a real server, each in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gguf_adapter
import psutil
import pytest
from asking import until
from local_engine import gguf
from prometheus_client.parser import text_string_to_metric_families
from serving import Answer, Standpipe, call, serving

from standpipe.engine import weights

HI = [{"role": "user", "content": "Say hello in one short sentence."}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standpipe]:
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir()
    (home / "models" / weights.FILE).symlink_to(gguf())
    adapter = gguf_adapter.write(home / "adapter.gguf", 3)
    table = f"""
[local.adapters]
tuned = "{adapter}"
[local.models.second]
gguf = "{gguf()}"
context = 2048
idle = 0
[local.models.gone]
gguf = "{home / "nothing.gguf"}"
"""
    with serving(home, table, LOCAL_ENABLED="true", LOCAL_AUDIO="false") as started:
        started.child("standpipe.engine.process")
        yield started


def chat(server: Standpipe, model: str, **fields: Any) -> Answer:
    body = {"model": model, "messages": HI, "max_tokens": 12, "temperature": 0, **fields}
    return call(server, "POST", "/chat/completions", body)


def said(server: Standpipe, model: str) -> str:
    answer = chat(server, model)
    assert answer.status == 200, answer.body
    assert answer.json["model"] == model
    return str(answer.json["choices"][0]["message"]["content"])


def engines(server: Standpipe) -> list[psutil.Process]:
    children = psutil.Process(server.process.pid).children()
    return [child for child in children if "standpipe.engine.process" in child.cmdline()]


def first_token(server: Standpipe, model: str) -> float:
    """Return the log probability of the first token: whole answers may differ at a near tie."""
    answer = chat(server, model, max_tokens=1, logprobs=True)
    assert answer.status == 200, answer.body
    return float(answer.json["choices"][0]["logprobs"]["content"][0]["logprob"])


@pytest.mark.parametrize("form", ["{}", "local:{}", "local/{}", "openpipe:local/{}", "openpipe:{}"])
def test_every_name_of_a_local_model_leads_to_it(server: Standpipe, form: str) -> None:
    assert said(server, form.format("second"))


def test_adapter_answers_by_its_name_and_leaves_the_others_alone(server: Standpipe) -> None:
    plain = first_token(server, weights.MODEL)
    tuned = first_token(server, f"{weights.MODEL}:tuned")
    assert tuned != pytest.approx(plain, abs=0.1)
    assert first_token(server, f"local:{weights.MODEL}:tuned") == pytest.approx(tuned, abs=0.05)
    assert first_token(server, weights.MODEL) == pytest.approx(plain, abs=0.05)


def test_each_model_has_a_process_of_its_own(server: Standpipe) -> None:
    said(server, "second")
    assert len(engines(server)) == 2


def test_models_are_listed_and_what_is_missing_is_named(server: Standpipe) -> None:
    names = {model["id"] for model in call(server, "GET", "/models").json["data"]}
    assert {weights.MODEL, f"{weights.MODEL}:tuned", "second", "gone"} <= names
    answer = chat(server, "gone")
    assert answer.status == 503
    assert "local.models.gone.gguf" in answer.json["message"]
    assert chat(server, f"local:{weights.MODEL}:nope").status == 404


def engine_metrics(server: Standpipe) -> dict[str, dict[str, float]]:
    """Return what is told of each engine, by the metric's last word."""
    found: dict[str, dict[str, float]] = {}
    page = call(server, "GET", "/metrics", root=True).body.decode()
    for family in text_string_to_metric_families(page):
        for sample in family.samples if family.name.startswith("standpipe_engine_") else ():
            found.setdefault(sample.labels["engine"], {})[family.name.split("_")[-1]] = sample.value
    return found


def test_each_engine_is_told_of_as_it_stands(server: Standpipe) -> None:
    said(server, "second")
    idle = {"up": 1.0, "loaded": 1.0, "calls": 0.0}
    # An engine lets go of a call a little after its client has the answer.
    until(lambda: [engine_metrics(server)[it] for it in (weights.MODEL, "second")] == [idle, idle])
    found = engine_metrics(server)
    del found[weights.MODEL], found["second"]
    assert found.pop("gone") == {"up": 0.0}
    # No embeddings without their extra and their weights.
    for states in found.values():
        assert states in ({"up": 0.0}, {"up": 1.0, "loaded": 0.0, "calls": 0.0})
    page = call(server, "GET", "/metrics", root=True).body.decode()
    for child in (f"engine-{weights.MODEL}", "engine-second"):
        assert f'standpipe_processes_ended_total{{child="{child}"}} 0\n' in page


def test_sound_that_is_turned_off_is_refused_by_name(server: Standpipe) -> None:
    asked = {"modalities": ["text", "audio"], "audio": {"format": "wav", "voice": "alloy"}}
    answer = chat(server, weights.MODEL, **asked)
    assert (answer.status, answer.json["error"]["param"]) == (400, "modalities")
    assert "turned off" in answer.json["message"]


def test_image_is_refused_by_name(server: Standpipe) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}}
    answer = chat(server, "second", messages=[{"role": "user", "content": [image]}])
    assert (answer.status, answer.json["error"]["param"]) == (400, "messages[0].content[0]")
