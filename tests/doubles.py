"""Small providers of each dialect: each checks what it is sent and answers in its own form.

A real HTTP server in a thread. `with scripted(...) as double:` answers OpenAI's form with the
contents of a script, one a request; `with anthropic() as double:` and `with gemini() as double:`
answer as those would, streamed and not.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

from standpipe.providers.bedrock.frames import frame

Json = dict[str, Any]

#: What every double answers unless told otherwise.
CONTENT = "Hello there"
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


@dataclass(frozen=True)
class Asked:
    """A request as it came; header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: Json


@dataclass(frozen=True)
class Said:
    """An answer: JSON, or the events of a stream."""

    body: Json | None = None
    events: Sequence[bytes] = ()
    status: int = 200
    #: The media type of a stream.
    stream_type: str = "text/event-stream"
    #: More headers.
    headers: Mapping[str, str] = field(default_factory=dict)


#: Answers a request; an AssertionError is a request that the real place would refuse.
Answer = Callable[[Asked], Said]


@dataclass
class Double:
    """A running double and what it was asked."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    #: Streams whose reader left before their end.
    left: int = 0

    @property
    def bodies(self) -> list[Json]:
        return [asked.body for asked in self.asked]

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; a guard against hangs."""
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "it never came about"
            time.sleep(0.01)


@contextlib.contextmanager
def running(answer: Answer, prefix: str = "") -> Iterator[Double]:
    """Serve until the block ends; `prefix` is part of the URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.path.removeprefix(prefix), headers, body)
            double.asked.append(asked)
            try:
                said = answer(asked)
            except AssertionError as error:
                said = Said({"error": {"message": f"refused: {error}", "code": 400}}, status=400)
            with contextlib.suppress(ConnectionError):
                self._say(said)
                return
            double.left += 1
            self.close_connection = True

        def _say(self, said: Said) -> None:
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            if said.body is not None:
                data = json.dumps(said.body).encode()
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                return
            self.send_header("content-type", said.stream_type)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for event in said.events:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
            self.wfile.write(b"0\r\n\r\n")

        @override
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        double = Double(f"http://127.0.0.1:{server.server_port}{prefix}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield double
        finally:
            server.shutdown()
            thread.join()


# --- OpenAI -------------------------------------------------------------------------------------


def completion(message: str | Json, *, finish: str = "stop", **more: Any) -> Json:
    """Return a whole answer with one choice; a text is its content."""
    said = {"role": "assistant", **({"content": message} if isinstance(message, str) else message)}
    choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": finish}
    frame = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_750_000_000}
    return {**frame, "model": "theirs", "choices": [choice], "usage": USAGE, **more}


def chunks(whole: Json, body: Json) -> Iterator[Json]:
    """Yield a whole answer as chunks: a character of content each, a tool call in two."""
    frame = {n: v for n, v in whole.items() if n not in ("choices", "usage")}
    frame["object"] = "chat.completion.chunk"
    for choice in whole["choices"]:
        for delta, finish in _deltas(choice):
            piece = {"index": choice["index"], "delta": delta, "finish_reason": finish}
            yield {**frame, "choices": [piece]}
    if (body.get("stream_options") or {}).get("include_usage") and whole.get("usage"):
        yield {**frame, "choices": [], "usage": whole["usage"]}


def _deltas(choice: Json) -> Iterator[tuple[Json, str | None]]:
    message = choice["message"]
    yield {"role": "assistant", "content": ""}, None
    for character in message.get("content") or "":
        yield {"content": character}, None
    for index, call in enumerate(message.get("tool_calls") or ()):
        function = {**call["function"], "arguments": ""}
        yield {"tool_calls": [{"index": index, **call, "function": function}]}, None
        rest = {"arguments": call["function"]["arguments"]}
        yield {"tool_calls": [{"index": index, "function": rest}]}, None
    yield {}, choice["finish_reason"]


def as_openai(whole: Json, body: Json) -> Said:
    """Return an answer in OpenAI's form, streamed and with several choices if those are wanted."""
    first, *_ = whole["choices"]
    whole = {**whole, "choices": [{**first, "index": i} for i in range(body.get("n") or 1)]}
    if not body.get("stream"):
        return Said(whole)
    said = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks(whole, body)]
    return Said(events=[*said, b"data: [DONE]\n\n"])


@contextlib.contextmanager
def scripted(*script: str | Json | Said) -> Iterator[Double]:
    """Answer each request with the next of a script, and with its last from there on.

    A text is a content; an object with `choices` a completion; a Said as it is.
    """
    lock = threading.Lock()
    left = list(script or (CONTENT,))

    def answer(asked: Asked) -> Said:
        with lock:
            said = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(said, Said):
            return said
        return as_openai(said if isinstance(said, dict) else completion(said), asked.body)

    with running(answer, "/v1") as double:
        yield double


# --- Anthropic ----------------------------------------------------------------------------------

_ANTHROPIC_TAKES = frozenset(
    {
        *("model", "messages", "max_tokens", "system", "metadata", "stop_sequences", "stream"),
        *("temperature", "top_p", "top_k", "tools", "tool_choice", "thinking", "output_config"),
        *("service_tier",),
    }
)


def _check_anthropic(asked: Asked) -> None:
    body = asked.body
    assert asked.path == "/messages", asked.path
    assert asked.headers["anthropic-version"]
    assert asked.headers["x-api-key"]
    assert set(body) <= _ANTHROPIC_TAKES, set(body) - _ANTHROPIC_TAKES
    assert isinstance(body["max_tokens"], int)
    assert body["messages"], "messages: at least one"
    assert {message["role"] for message in body["messages"]} <= {"user", "assistant"}
    assert 0 <= body.get("temperature", 1) <= 1
    asked_for, answered = _uses(body["messages"])
    assert answered <= asked_for, "tool_result without tool_use"
    if body.get("tool_choice", {}).get("type") == "tool":
        assert body["tool_choice"]["name"] in [tool["name"] for tool in body["tools"]]


def _uses(messages: list[Json]) -> tuple[set[str], set[str]]:
    blocks = [b for m in messages for b in (m["content"] if isinstance(m["content"], list) else ())]
    asked = {block["id"] for block in blocks if block["type"] == "tool_use"}
    return asked, {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}


def _anthropic_block(body: Json, content: str) -> Json:
    choice = body.get("tool_choice", {})
    if choice.get("type") in ("any", "tool"):
        name = choice.get("name") or body["tools"][0]["name"]
        return {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}
    return {"type": "text", "text": content}


@contextlib.contextmanager
def anthropic(content: str = CONTENT) -> Iterator[Double]:
    """Answer as Anthropic's Messages API does; a tool that must be called is."""

    def answer(asked: Asked) -> Said:
        _check_anthropic(asked)
        block = _anthropic_block(asked.body, content)
        stop = "tool_use" if block["type"] == "tool_use" else "end_turn"
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-theirs"}
        usage = {"input_tokens": 7, "output_tokens": 2}
        if not asked.body.get("stream"):
            end = {"stop_reason": stop, "stop_sequence": None, "usage": usage}
            return Said({**head, "content": [block], **end})
        return Said(events=[_named_event(event) for event in _anthropic_events(head, block, stop)])

    with running(answer, "/v1") as double:
        yield double


def _anthropic_events(head: Json, block: Json, stop: str) -> Iterator[Json]:
    usage = {"input_tokens": 7, "output_tokens": 1}
    begun = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield {"type": "message_start", "message": begun}
    empty = {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}
    yield {"type": "content_block_start", "index": 0, "content_block": empty}
    delta: Json = {"type": "input_json_delta", "partial_json": "{}"}
    for character in block["text"] if block["type"] == "text" else ():
        delta = {"type": "text_delta", "text": character}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    if block["type"] == "tool_use":
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    end = {"stop_reason": stop, "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": 2}}
    yield {"type": "message_stop"}


def _named_event(event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


# --- Gemini -------------------------------------------------------------------------------------

_GEMINI_TAKES = frozenset({"contents", "systemInstruction", "tools", "toolConfig", "serviceTier"})
_GENERATION_TAKES = frozenset(
    {
        *("temperature", "topP", "maxOutputTokens", "stopSequences", "candidateCount", "seed"),
        *("presencePenalty", "frequencyPenalty", "responseLogprobs", "logprobs"),
        *("responseMimeType", "responseJsonSchema", "thinkingConfig", "mediaResolution"),
    }
)


def _check_gemini(asked: Asked) -> None:
    body = asked.body
    assert asked.headers["x-goog-api-key"]
    assert set(body) <= _GEMINI_TAKES | {"generationConfig"}, set(body)
    generation = body.get("generationConfig", {})
    assert set(generation) <= _GENERATION_TAKES, set(generation) - _GENERATION_TAKES
    assert body["contents"], "contents: at least one"
    assert {content["role"] for content in body["contents"]} <= {"user", "model"}
    assert all(content["parts"] for content in body["contents"])
    assert len(generation.get("stopSequences", ())) <= 5


def _gemini_part(body: Json, content: str) -> Json:
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    if calling.get("mode") == "ANY":
        return {"functionCall": {"name": (calling.get("allowedFunctionNames") or ["f"])[0]}}
    return {"text": content}


@contextlib.contextmanager
def gemini(content: str = CONTENT) -> Iterator[Double]:
    """Answer as Google's generateContent does; a function that must be called is."""

    def answer(asked: Asked) -> Said:
        _check_gemini(asked)
        method = asked.path.rpartition(":")[2]
        part = _gemini_part(asked.body, content)
        count = asked.body.get("generationConfig", {}).get("candidateCount", 1)
        whole = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
        body = {
            "candidates": [{**whole, "index": index} for index in range(count)],
            "usageMetadata": {
                "promptTokenCount": 7,
                "candidatesTokenCount": 2,
                "totalTokenCount": 9,
            },
            "modelVersion": "gemini-theirs",
            "responseId": "r1",
        }
        if method == "generateContent":
            return Said(body)
        assert method == "streamGenerateContent?alt=sse", asked.path
        return Said(events=[b"data: " + json.dumps(body).encode() + b"\r\n\r\n"])

    with running(answer, "/v1beta") as double:
        yield double


# --- Bedrock ------------------------------------------------------------------------------------

_BEDROCK_TAKES = frozenset(
    {
        *("messages", "system", "inferenceConfig", "toolConfig", "outputConfig", "serviceTier"),
        *("additionalModelRequestFields", "additionalModelResponseFieldPaths", "requestMetadata"),
        *("guardrailConfig", "performanceConfig"),
    }
)
_INFERENCE_TAKES = frozenset({"maxTokens", "temperature", "topP", "stopSequences"})


def _check_bedrock(asked: Asked) -> None:
    body = asked.body
    assert asked.headers["authorization"]
    assert set(body) <= _BEDROCK_TAKES, set(body) - _BEDROCK_TAKES
    inference = body.get("inferenceConfig", {})
    assert set(inference) <= _INFERENCE_TAKES, set(inference) - _INFERENCE_TAKES
    assert 0 <= inference.get("temperature", 0) <= 1
    assert len(inference.get("stopSequences", ())) <= 4, "more than some models take"
    _check_bedrock_talk(body)


def _check_bedrock_talk(body: Json) -> None:
    roles = [message["role"] for message in body["messages"]]
    assert roles[:1] == ["user"], "a conversation must start with a user message"
    assert all(a != b for a, b in itertools.pairwise(roles)), "roles must alternate"
    for message in body["messages"]:
        names = {name for block in message["content"] for name in block}
        assert "document" not in names or "text" in names, "a text block must be with documents"
    blocks = [block for message in body["messages"] for block in message["content"]]
    for block in (*blocks, *body.get("system", ())):
        assert "text" not in block or block["text"].strip(), "the text field is blank"
    used = any("toolUse" in block or "toolResult" in block for block in blocks)
    assert "toolConfig" in body or not used, "toolConfig: needed where tools were used"


def _bedrock_block(body: Json, content: str) -> Json:
    choice = body.get("toolConfig", {}).get("toolChoice", {})
    if not choice.keys() & {"any", "tool"}:
        return {"text": content}
    first = body["toolConfig"]["tools"][0]["toolSpec"]["name"]
    name = choice.get("tool", {}).get("name", first)
    return {"toolUse": {"toolUseId": "tooluse_1", "name": name, "input": {}}}


@contextlib.contextmanager
def bedrock(content: str = CONTENT) -> Iterator[Double]:
    """Answer as Bedrock's Converse does; a tool that must be called is."""

    def answer(asked: Asked) -> Said:
        _check_bedrock(asked)
        block = _bedrock_block(asked.body, content)
        stop = {"stopReason": "tool_use" if "toolUse" in block else "end_turn"}
        usage = {"usage": {"inputTokens": 7, "outputTokens": 2, "totalTokens": 9}}
        if asked.path.endswith("/converse"):
            message = {"role": "assistant", "content": [block]}
            return Said({"output": {"message": message}, **stop, **usage})
        assert asked.path.endswith("/converse-stream"), asked.path
        told = [("messageStart", {"role": "assistant"}), *_bedrock_deltas(block)]
        told += [("contentBlockStop", {"contentBlockIndex": 0})]
        told += [("messageStop", stop), ("metadata", usage)]
        frames = [_bedrock_frame(kind, payload) for kind, payload in told]
        return Said(events=frames, stream_type="application/vnd.amazon.eventstream")

    with running(answer) as double:
        yield double


def _bedrock_deltas(block: Json) -> Iterator[tuple[str, Json]]:
    index = {"contentBlockIndex": 0}
    if "text" in block:
        for character in block["text"]:
            yield "contentBlockDelta", {**index, "delta": {"text": character}}
        return
    use = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
    yield "contentBlockStart", {**index, "start": {"toolUse": use}}
    yield "contentBlockDelta", {**index, "delta": {"toolUse": {"input": "{}"}}}


def _bedrock_frame(kind: str, payload: Json) -> bytes:
    headers = {":message-type": "event", ":event-type": kind, ":content-type": "application/json"}
    return frame(headers, json.dumps(payload).encode())
