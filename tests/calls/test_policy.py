"""Whether a call keeps its text: the rule of spec 5.1, whole."""

from __future__ import annotations

import pytest

from standpipe.calls.policy import logged, withheld
from standpipe.config import Content

CASES = [
    # default, header, store, fine-tuned, expected
    ("openpipe", None, None, False, True),
    ("openpipe", None, None, True, False),
    ("openpipe", False, True, False, False),
    ("openpipe", True, False, True, True),
    ("openpipe", None, False, False, False),
    ("openpipe", None, True, True, True),
    ("all", None, None, True, True),
    ("all", None, False, False, False),
    ("store-only", None, None, False, False),
    ("store-only", None, True, False, True),
    ("none", None, None, False, False),
    ("none", True, None, False, True),
]


@pytest.mark.parametrize(("default", "header", "store", "fine_tuned", "expected"), CASES)
def test_header_beats_store_beats_default(
    default: str,
    header: bool | None,
    store: bool | None,
    fine_tuned: bool,
    expected: bool,
) -> None:
    told = logged(default, header=header, store=store, read_only=False, fine_tuned=fine_tuned)
    assert told is expected


@pytest.mark.parametrize("default", ["openpipe", "all", "store-only", "none"])
def test_read_only_keys_never_keep_text(default: str) -> None:
    assert not logged(default, header=True, store=True, read_only=True, fine_tuned=False)


@pytest.mark.parametrize("content", ["full", "redacted"])
def test_nothing_is_withheld_where_text_is_kept(content: Content) -> None:
    assert withheld(content, header=True, store=True) == ()


def test_what_is_asked_for_in_vain_is_told() -> None:
    assert withheld("none", header=None, store=None) == ()
    assert withheld("none", header=False, store=True) == ("store=dropped",)
    assert withheld("none", header=True, store=None) == ("op-log-request=dropped",)
