"""Criteria that clients want to be judged by: two that a server has, and two that it has not."""

from __future__ import annotations

from serving import Standpipe, call

LOCAL = "smollm2-135m-instruct"
#: Names of criteria that are not there, each with what OpenPipe says of it.
MISSING = (
    ("invalid-criterion-name", "Criterion invalid-criterion-name not found"),
    (
        "highlight-format@fake-version",
        "Criterion version fake-version not found for criterion highlight-format",
    ),
)


def make_criteria(server: Standpipe, content: str) -> None:
    """Make `highlight-format` and `polite`, which the local model judges by.

    Of the first, the content passes version 1 and is too long for version 2.
    """
    short = {"id": "highlight-format", "kind": "length", "max": len(content)}
    judge = {"model": LOCAL, "parameters": {"temperature": 0, "seed": 1}}
    polite = {"id": "polite", "prompt": "Is it polite?", **judge}
    for body in (short, polite):
        assert call(server, "POST", "/criteria", body).status == 200
    shorter = {"kind": "length", "max": len(content) - 1}
    assert call(server, "POST", "/criteria/highlight-format/versions", shorter).status == 200
