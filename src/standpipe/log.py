"""What our processes say on standard error: no secret, and nothing of what callers send.

An exception's text may quote anything, so a stack trace here says where and which, and what only
where the text is the system's or ours.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec
from typing_extensions import override

from standpipe.config import Logging
from standpipe.errors import ConfigError, StoreUnavailable
from standpipe.wire.known_secrets import KnownSecrets
from standpipe.wire.redaction import Redaction

if TYPE_CHECKING:
    import asyncio  # which not all of our processes need

log = logging.getLogger(__name__)

#: Errors whose text says what is wrong with the machine or its configuration.
_TELLING = (OSError, ConfigError, StoreUnavailable)


def set_up(secrets: KnownSecrets | None = None, wanted: Logging | None = None) -> None:
    """Log to standard error; may be called again when the secrets and what is wanted are known."""
    wanted = wanted or Logging()
    handler = logging.StreamHandler()
    handler.setFormatter(_FORMATS[wanted.format](secrets or KnownSecrets()))
    logging.basicConfig(level=wanted.level.upper(), handlers=[handler], force=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def on_loop_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what no task has caught, without the exception's text."""
    log.error("%s", context["message"], exc_info=context.get("exception"))


class _Formatter(logging.Formatter):
    def __init__(self, secrets: KnownSecrets) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._secrets = secrets
        self._forms = Redaction(("secret",))

    @override
    def format(self, record: logging.LogRecord) -> str:
        return self._hidden(super().format(record))

    @override
    def formatException(self, ei: Any) -> str:
        return "".join(_trace(ei[1])).rstrip("\n")

    def _hidden(self, text: str) -> str:
        return self._forms.text(self._secrets.hide_in(text))


class _JsonFormatter(_Formatter):
    """One object a line."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        # Before it is JSON: in there, a secret may be spelt in another way.
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._hidden(record.getMessage()),
        }
        if request_id := getattr(record, "request_id", None):
            said["request_id"] = request_id
        if record.exc_info:
            said["trace"] = self._hidden(self.formatException(record.exc_info))
        return msgspec.json.encode(said).decode()


_FORMATS = {"text": _Formatter, "json": _JsonFormatter}


def _trace(error: BaseException) -> Iterator[str]:
    """Yield the lines of a stack trace, causes first."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _trace(cause)
        yield "which led to:\n"
    yield from traceback.format_tb(error.__traceback__)
    said = f": {error}" if isinstance(error, _TELLING) else ""
    yield f"{type(error).__qualname__}{said}\n"


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    log.critical("this process ends", exc_info=(kind, error, trace))


def _uncaught_in_thread(caught: threading.ExceptHookArgs) -> None:
    if caught.exc_value is not None:
        log.error("a thread ends", exc_info=caught.exc_value)
