"""What a person sees at the start, and that what it says is true."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path

from clients import environments
from local_engine import gguf
from serving import PATIENCE, Standpipe, call, serving, start

CURL = re.compile(r"^curl .*?(?=\n\n)", re.DOTALL | re.MULTILINE)
PYTHON = re.compile(r"^from openai .*?^print.*?$", re.DOTALL | re.MULTILINE)
TOKEN = re.compile(r"sp_[0-9A-Za-z]{10}_[0-9A-Za-z_-]{43}")


def home_with_weights(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    weights = gguf()
    (home / "models" / weights.name).symlink_to(weights)
    return home


def pasted(pattern: re.Pattern[str], screen: str, *shell: str) -> str:
    """Run a snippet as it stands on the screen."""
    found = pattern.search(screen)
    assert found is not None
    done = subprocess.run(
        [*shell, found[0]], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def screen_of(server: Standpipe, earlier: str = "") -> str:
    """Return the first screen, which may come a moment after the first answer could."""
    deadline = time.monotonic() + PATIENCE
    while "Stop with Ctrl-C" not in (shown := server.log.read_text().removeprefix(earlier)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return shown


def test_first_screen_has_a_key_and_snippets_that_work_when_pasted(tmp_path: Path) -> None:
    home = home_with_weights(tmp_path)
    with serving(home, LOCAL_ENABLED="true", API_KEY="") as server:
        screen = screen_of(server)
        token = TOKEN.findall(screen)[0]
        assert str(home) in re.sub(r"\s", "", screen)
        assert server.url in screen
        answered = json.loads(pasted(CURL, screen, "bash", "-c"))
        assert answered["choices"][0]["message"]["content"]
        assert pasted(PYTHON, screen, str(environments.python("openai-current")), "-c").strip()
        assert call(server, "GET", "/models", key=token).status == 200
        assert server.stop(signal.SIGINT) == 0
    for file in home.glob("standpipe.db*"):
        assert token.encode() not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0
    with serving(home, LOCAL_ENABLED="true", API_KEY="") as again:
        later = screen_of(again, screen)
        assert "is ready" in later
        assert not TOKEN.search(later)
        assert call(again, "GET", "/models", key=token).status == 200


def test_key_of_the_environment_counts_at_the_first_start_only(tmp_path: Path) -> None:
    with serving(tmp_path, API_KEY="first-key-0123456789") as server:
        assert call(server, "GET", "/models", key="first-key-0123456789").status == 200
        first = screen_of(server)
        assert "first-key-0123456789" not in first
    with serving(tmp_path, API_KEY="other-key-0123456789") as server:
        assert call(server, "GET", "/models", key="other-key-0123456789").status == 401
        assert "counts at the first start only" in re.sub(r"\s+", " ", screen_of(server, first))


def test_without_weights_the_server_says_which_command_fetches_them(tmp_path: Path) -> None:
    with serving(tmp_path, LOCAL_ENABLED="true") as server:
        assert "standpipe models pull" in re.sub(r"\s+", " ", screen_of(server))
        body = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Hi"}]}
        answer = call(server, "POST", "/chat/completions", body)
        assert answer.status == 503
        assert "standpipe models pull" in answer.json["message"]
        assert int(answer.headers["retry-after"]) >= 1


def test_taken_port_is_named(tmp_path: Path) -> None:
    with serving(tmp_path / "one") as server:
        other = start(tmp_path / "two", SERVER_PORT=str(server.port))
        assert other.process.wait(60) == 1
        assert f"port {server.port} is taken" in other.log.read_text()


def test_wrong_setting_is_one_line(tmp_path: Path) -> None:
    server = start(tmp_path, "[server]\nprot = 1\n")
    assert server.process.wait(60) == 1
    assert server.log.read_text().count("\n") == 1
    assert "did you mean 'port'?" in server.log.read_text()
