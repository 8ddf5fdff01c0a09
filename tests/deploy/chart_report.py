"""Helm's lint and rendering, and the schemas of Kubernetes: runs where the linters are installed.

Takes the chart and a JSON list of values; prints what each comes to as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import helm_python  # type: ignore[import-not-found]
import kubernetes_validate  # type: ignore[import-not-found]
import yaml  # type: ignore[import-untyped]

#: Helm's "warning" and worse.
_WARNING = 2


def report(chart: str, values: dict[str, Any], version: str) -> dict[str, Any]:
    """Return the lint's findings and the manifests, each valid by the schemas of a version."""
    found = helm_python.lint(chart, values, strict=True, kube_version=f"v{version}.0")
    said = [each["error"] for each in found["messages"] if each["severity"] >= _WARNING]
    with helm_python.Chart.load(chart) as loaded:
        rendered = loaded.render(values, name="gate", namespace="ai")
    manifests = [
        manifest
        for path, text in rendered.items()
        if path.endswith(".yaml")
        for manifest in yaml.safe_load_all(text)
        if manifest is not None
    ]
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)
    return {"lint": said + found["errors"], "manifests": manifests}


if __name__ == "__main__":
    chart, values, version = sys.argv[1:]
    print(json.dumps([report(chart, each, version) for each in json.loads(values)]))
