"""OpenAI's unmodified client in a page of another origin, in a real browser where there is one."""

from __future__ import annotations

import functools
import http.server
import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clients import environments
from misbehaving import running
from serving import KEY, PATIENCE, kill_tree, provider, serving
from typing_extensions import override

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PAGE = """<!doctype html><script type="module">
import OpenAI from "/openai/index.mjs";
const place = {{ baseURL: "{url}", maxRetries: 0, dangerouslyAllowBrowser: true }};
const client = new OpenAI({{ ...place, apiKey: "{key}" }});
const asked = {{ model: "acme:m", messages: [{{ role: "user", content: "Hi" }}] }};
const told = {{}};
const refused = async (name, call) => {{
  try {{ await call(); told[name] = "answered"; }}
  catch (error) {{ told[name] = [error.status ?? error.message, error.requestID ?? null]; }}
}};
const whole = await client.chat.completions.create(asked).withResponse();
told.whole = [whole.data.choices[0].message.content, whole.response.headers.get("x-request-id")];
told.stream = "";
const headers = {{ "op-log-request": "true", "standpipe-fidelity": "best-effort" }};
for await (const chunk of await client.chat.completions.create(
  {{ ...asked, stream: true }}, {{ headers }}))
  told.stream += chunk.choices[0]?.delta?.content ?? "";
const stranger = new OpenAI({{ ...place, apiKey: "nobody" }});
await refused("stranger", () => stranger.models.list());
await refused("large", () => client.chat.completions.create({{ ...asked, user: "x".repeat(5e3) }}));
await fetch("/told", {{ method: "POST", body: JSON.stringify(told) }});
</script>"""


class Files(http.server.SimpleHTTPRequestHandler):
    """Serves the page, and takes what it says."""

    said: queue.Queue[dict[str, Any]]

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        self.said.put(json.loads(self.rfile.read(length)))
        self.send_response(204)
        self.end_headers()

    @override
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def site(folder: Path, said: queue.Queue[dict[str, Any]]) -> Iterator[int]:
    """Serve a folder on a port, which makes it an origin."""
    handler = type("Site", (Files,), {"said": said})
    served = functools.partial(handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def browser(url: str, profile: Path) -> Iterator[None]:
    """Open a page in a browser without a window."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with (profile.with_suffix(".log")).open("wb") as log:
        opened = subprocess.Popen(
            [str(BROWSER), *options, f"--user-data-dir={profile}", url], stdout=log, stderr=log
        )
    try:
        yield
    finally:
        kill_tree(opened.pid)
        opened.kill()
        opened.wait(PATIENCE)


@pytest.mark.skipif(BROWSER is None, reason="needs a browser")
def test_page_reads_answers_streams_and_errors(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "openai").symlink_to(environments.npm("npm") / "node_modules" / "openai")
    said: queue.Queue[dict[str, Any]] = queue.Queue()
    with running() as upstream, site(folder, said) as port:
        settings = {"SERVER_CORS_ORIGINS": f"http://127.0.0.1:{port}"}
        settings["SERVER_MAX_BODY_BYTES"] = "4096"
        row = provider("acme", upstream.url)
        with serving(tmp_path / "home", row, **settings) as server:
            page = PAGE.format(url=f"{server.root}/v1", key=KEY)
            (folder / "index.html").write_text(page)
            with browser(f"http://127.0.0.1:{port}/", tmp_path / "profile"):
                told = said.get(timeout=PATIENCE)
    assert told["whole"][0] == told["stream"] != ""
    assert told["whole"][1]
    assert told["stranger"][0] == 401
    assert told["stranger"][1]
    assert told["large"][0] == 413
