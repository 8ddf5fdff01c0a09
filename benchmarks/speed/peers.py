"""The others: where each is had from, and how it is started so that it does least.

None of their code is here. Each is as it comes but for what is said: nobody tuned them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

from speed.targets import KEY, MODEL, Place, Start

#: Seconds that an installation may take.
_INSTALL_S = 900


class NotInstalled(RuntimeError):
    """A peer cannot be had here."""


def _pip(requirement: str) -> Callable[[Path], None]:
    def install(folder: Path) -> None:
        venv.create(folder, with_pip=True, clear=True)
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", requirement])

    return install


def _npm(requirement: str) -> Callable[[Path], None]:
    def install(folder: Path) -> None:
        if shutil.which("node") is None or shutil.which("npm") is None:
            raise NotInstalled("it needs node and npm")
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--silent", "--no-fund", "--no-audit"]
        _run(["npm", "install", *options, "--prefix", str(folder), requirement])

    return install


def _nginx(folder: Path) -> None:
    """Take what is installed, or unpack Debian's package without installing it."""
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    folder.mkdir(parents=True, exist_ok=True)
    if found is None:
        _run(["apt-get", "download", "--quiet", "nginx"], folder)
        (package,) = folder.glob("nginx_*.deb")
        _run(["dpkg", "-x", str(package), str(folder)])
        found = str(folder / "usr" / "sbin" / "nginx")
    (folder / "nginx").unlink(missing_ok=True)
    (folder / "nginx").symlink_to(found)


def _run(words: list[str], folder: Path | None = None) -> None:
    try:
        subprocess.run(words, cwd=folder, check=True, timeout=_INSTALL_S, capture_output=True)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise NotInstalled(f"{words[0]} failed: {said[-1] if said else error}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(str(error)) from error


#: What is installed for each peer, in a folder of its name.
INSTALL: dict[str, tuple[str, Callable[[Path], None]]] = {
    "nginx": ("of the system", _nginx),
    "vllm-router": ("0.1.17", _pip("vllm-router==0.1.17")),
    "ferrogw": ("1.5.10", _pip("ferrogw==1.5.10")),
    "portkey": ("1.15.2", _npm("@portkey-ai/gateway@1.15.2")),
    "litellm": ("1.106.2", _pip("litellm[proxy]==1.106.2")),
}
CACHE = Path(__file__).parents[2] / ".cache" / "bench"


def installed(name: str) -> Path:
    """Return the folder of a peer, having installed it; raises NotInstalled."""
    version, install = INSTALL[name]
    folder, mark = CACHE / name, CACHE / name / "installed"
    if not mark.exists() or mark.read_text() != version:
        print(f"installing {name} {version}", flush=True)
        install(folder)
        mark.write_text(version)
    return folder


def start_nginx(place: Place) -> Start:
    """Return how a plain reverse proxy is started."""
    (place.folder / "nginx.conf").write_text(_NGINX.format(up=place.mocks.http, port=place.port))
    words = ["-p", str(place.folder), "-e", "stderr", "-c", str(place.folder / "nginx.conf")]
    return Start([str(CACHE / "nginx" / "nginx"), *words])


_NGINX = """
worker_processes 1; daemon off; pid nginx.pid; error_log stderr error;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
  uwsgi_temp_path tmp; scgi_temp_path tmp;
  keepalive_requests 100000000; client_body_buffer_size 2m; client_max_body_size 0;
  upstream mock {{ server 127.0.0.1:{up}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


def start_vllm_router(place: Place) -> Start:
    """Return how a round robin to one worker is started."""
    words = ["--host", "127.0.0.1", "--port", str(place.port), "--policy", "round_robin"]
    words += ["--worker-urls", f"http://127.0.0.1:{place.mocks.http}", "--log-level", "error"]
    # Its metrics have a port of their own, the one beside.
    words += ["--prometheus-port", str(place.port + 1 if place.port < 65535 else 65534)]
    return Start([str(CACHE / "vllm-router" / "bin" / "vllm-router"), *words])


def start_ferrogw(place: Place) -> Start:
    """Return how it is started with a master key, stores in memory and no log of requests."""
    (place.folder / "config.yaml").write_text(
        "strategy:\n  mode: fallback\ntargets:\n  - virtual_key: openai\n"
    )
    environment = {
        "PORT": str(place.port),
        "HOST": "127.0.0.1",
        "GATEWAY_CONFIG": "config.yaml",
        "MASTER_KEY": KEY,
        "OPENAI_API_KEY": "sk-upstream",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{place.mocks.http}",
        "LOG_LEVEL": "error",
        # Its default answers 429 to nearly all of this.
        "RATE_LIMIT_RPS": "10000000",
        "RATE_LIMIT_BURST": "10000000",
    }
    return Start([str(CACHE / "ferrogw" / "bin" / "ferrogw"), "serve"], environment)


def start_portkey(place: Place) -> Start:
    """Return how it is started; provider and host come with each call."""
    script = CACHE / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
    words = ["node", str(script), f"--port={place.port}", "--headless"]
    return Start(words, {"NODE_ENV": "production"})


def portkey_headers(place: Place) -> dict[str, str]:
    """Return what it must be sent with each call."""
    return {
        "Authorization": f"Bearer {KEY}",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{place.mocks.http}/v1",
    }


def start_litellm(place: Place) -> Start:
    """Return how one worker with a master key is started, without a database and without a log."""
    (place.folder / "config.yaml").write_text(_LITELLM.format(up=place.mocks.http))
    words = ["--config", "config.yaml", "--host", "127.0.0.1", "--port", str(place.port)]
    environment = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
    }
    program = str(CACHE / "litellm" / "bin" / "litellm")
    return Start([program, *words, "--num_workers", "1"], environment)


_LITELLM = f"""
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/{MODEL}
      api_base: http://127.0.0.1:{{up}}/v1
      api_key: sk-upstream
general_settings:
  master_key: {KEY}
litellm_settings:
  telemetry: false
  set_verbose: false
"""


def node_version() -> str | None:
    """Return the version of node, None if there is none."""
    if shutil.which("node") is None:
        return None
    done = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    for each in sys.argv[1:] or INSTALL:
        installed(each)
