"""The files of `deploy/`, held to what those say who will read them."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from clients import environments

from standpipe import __version__, config
from standpipe.config import plain_settings, variable

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "systemd" / "standpipe.service"
CHART = DEPLOY / "chart"
#: The oldest Kubernetes of Chart.yaml for which there are schemas, and a new one.
VERSIONS = ("1.28", "1.36")
FULL = {
    "secret": "standpipe",
    "tls": {"secret": "door"},
    "autoscaling": {"enabled": True},
    "volume": {"storageClass": "fast"},
    "networkPolicy": {"from": [{"namespaceSelector": {}}]},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "imagePullSecrets": [{"name": "registry"}],
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
    "service": {"annotations": {"e": "f"}},
    "serviceAccount": {"annotations": {"g": "h"}},
}
PLAIN = {
    "secret": "standpipe",
    "disruptionBudget": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "preStopSeconds": 0,
    "topologySpread": False,
}
MINIMAL = {"secret": "standpipe"}


def linter(name: str, *arguments: str) -> str:
    """Run a program of the linters' environment, which must do well; return what it prints."""
    program = environments.python("deploy").parent / name
    done = subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def manifests() -> dict[str, dict[str, Any]]:
    """Return the chart's manifests with the fewest values, by kind and name."""
    (found,) = rendered([MINIMAL], VERSIONS[-1])
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found["manifests"]}


def rendered(values: list[dict[str, Any]], version: str) -> list[dict[str, Any]]:
    script = Path(__file__).with_name("chart_report.py")
    printed = linter("python", str(script), str(CHART), json.dumps(values), version)
    reports: list[dict[str, Any]] = json.loads(printed.splitlines()[-1])
    return reports


def settings_named(text: str) -> set[str]:
    """Return the variables of settings that a file names."""
    return set(re.findall(r"STANDPIPE_[A-Z_]+", text))


KNOWN = {variable(dotted) for dotted, _ in plain_settings()} | config.SPECIAL_VARIABLES.keys()


@pytest.mark.parametrize(
    "file",
    [each for each in sorted(DEPLOY.rglob("*")) if each.is_file() and each.suffix != ".json"],
    ids=lambda file: file.name,
)
def test_variables_that_are_named_are_there(file: Path) -> None:
    assert settings_named(file.read_text()) - KNOWN == set()


def test_containerfile_passes_its_linter() -> None:
    assert linter("hadolint", "--failure-threshold", "info", str(DEPLOY / "Containerfile")) == ""


def test_container_is_nobodys_root_and_installs_by_hash() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    assert re.findall(r"^USER .*", text, re.MULTILINE) == ["USER 10001:10001"]
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["python:3.11-slim"] * 2
    assert "STOPSIGNAL SIGTERM" in text
    assert "/health/live" in text
    installs = re.findall(r"pip install((?:.|\\\n)*?)(?:\n[A-Z]| &&)", text)
    assert len(installs) == 2
    assert all("--require-hashes" in each or "--no-deps" in each for each in installs)


def test_container_has_what_many_nodes_need() -> None:
    """The lock is the project's with the extras of nodes: the pins are those that are tested."""
    pins = re.compile(r"^([a-z0-9._-]+)(?:\[\w+\])?==(\S+)", re.MULTILINE)
    locked = dict(pins.findall((ROOT / "requirements" / "container.lock").read_text()))
    tested: dict[str, str] = {}
    for name in ("extras", "runtime"):
        tested |= dict(pins.findall((ROOT / "requirements" / f"{name}.lock").read_text()))
    assert {"psycopg", "redis", "uvicorn"} <= locked.keys()
    assert {name: tested.get(name) for name in locked} == locked


def test_builder_is_given_no_secret() -> None:
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    named = {line[1:].strip("/") for line in ignored if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--)(.*)", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()[:-1]}
    assert sources <= {*named, "requirements/build.lock", "requirements/container.lock"}


def test_compose_file_is_of_its_schema() -> None:
    linter(
        "check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")
    )


def test_nodes_of_the_compose_file_are_locked_down() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    nodes = {name: each for name, each in compose["services"].items() if name.startswith("node-")}
    assert len(nodes) == 2
    for name, node in nodes.items():
        assert node["read_only"] is True
        assert node["cap_drop"] == ["ALL"]
        assert f"{name}:/var/lib/standpipe" in node["volumes"]
        assert all(port.startswith("127.0.0.1:") for port in node["ports"])
        assert node["stop_grace_period"] == "100s"
    assert compose["volumes"].keys() >= nodes.keys()


def test_secrets_of_the_compose_file_come_from_a_file_that_git_leaves_out() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    example = (DEPLOY / "example.env").read_text()
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    named = set(re.findall(r"^(\w+)=", example, re.MULTILINE))
    assert asked <= named
    assert re.findall(r"^\w+=(.+)", example, re.MULTILINE) == []
    assert "deploy/.env" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("version", VERSIONS)
def test_chart_passes_helm_and_the_schemas_of_kubernetes(version: str) -> None:
    for report in rendered([MINIMAL, FULL, PLAIN], version):
        assert report["lint"] == []
        assert report["manifests"]


def test_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["version"] == chart["appVersion"] == project["version"] == __version__
    assert f"standpipe:{__version__}" in (DEPLOY / "compose.yaml").read_text()


def test_each_pod_keeps_its_spool(manifests: dict[str, dict[str, Any]]) -> None:
    spec = manifests["StatefulSet/gate-standpipe"]["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    (container,) = spec["template"]["spec"]["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts[claim["metadata"]["name"]] == "/var/lib/standpipe"
    assert spec["persistentVolumeClaimRetentionPolicy"]["whenScaled"] == "Retain"


def test_pods_are_locked_down_and_probed(manifests: dict[str, dict[str, Any]]) -> None:
    pod = manifests["StatefulSet/gate-standpipe"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert container["envFrom"] == [{"secretRef": {"name": "standpipe"}}]
    grace = config.Server().grace + 5 + 60  # of calls, of their workers, of the drain
    assert pod["terminationGracePeriodSeconds"] > grace + 5  # preStop counts too


def test_chart_without_a_secret_says_what_it_wants() -> None:
    with pytest.raises(AssertionError, match="the name of a Secret"):
        rendered([{}], VERSIONS[-1])


def test_value_that_is_none_is_refused() -> None:
    with pytest.raises(AssertionError, match="replica"):
        rendered([{**MINIMAL, "replica": 3}], VERSIONS[-1])


def test_configuration_of_the_chart_loads(manifests: dict[str, dict[str, Any]]) -> None:
    text = manifests["ConfigMap/gate-standpipe"]["data"]["standpipe.toml"]
    assert config.load(None, {}, text=text).server.workers == 0


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names have capitals
    parser.read(UNIT)
    return parser


def test_unit_is_hardened_and_comes_back() -> None:
    service = dict(unit()["Service"])
    wanted = {
        "Type": "notify",
        "Restart": "always",
        "DynamicUser": "yes",
        "StateDirectory": "standpipe",
        "ProtectSystem": "strict",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "ExecReload": "/bin/kill -HUP $MAINPID",
        "KillMode": "mixed",
    }
    assert {name: service.get(name) for name in wanted} == wanted
    assert float(service["TimeoutStopSec"]) > config.Server().grace + 5 + 60


ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(ANALYZE is None, reason="needs systemd")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    there = re.sub(r"(?m)^ExecStart=.*", "ExecStart=/bin/true", UNIT.read_text())
    (tmp_path / UNIT.name).write_text(there)
    for arguments in (
        ["verify", "--man=no", str(tmp_path / UNIT.name)],
        ["security", "--offline=true", "--no-pager", "--threshold=25", str(tmp_path / UNIT.name)],
    ):
        done = subprocess.run(
            [str(ANALYZE), *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "standpipe.service:" not in done.stderr
