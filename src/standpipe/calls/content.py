"""What of a record may be kept where not all of it is: redacted, or its numbers alone."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import msgspec

from standpipe import config
from standpipe.calls.call import without_text
from standpipe.config import Content, Settings
from standpipe.errors import ConfigError
from standpipe.wire.known_secrets import KnownSecrets
from standpipe.wire.record import Attempt, Begin, Record, encode
from standpipe.wire.redaction import Redaction, Step
from standpipe.wire.summaries import summary_of
from standpipe.wire.trace import parent_of

log = logging.getLogger(__name__)

Kept = TypeVar("Kept", Record, Begin)
Value = TypeVar("Value")

#: What stands for an error's text where none is kept.
UNTOLD = "[not kept]"


class Contents:
    """What the content policy makes of records. Safe in any thread; `redact` may take its time."""

    def __init__(
        self,
        redaction: Redaction | None = None,
        *,
        labels: Collection[str] = (),
        secrets: KnownSecrets | None = None,
    ) -> None:
        self.secrets = secrets or KnownSecrets()
        self._redaction = redaction or Redaction()
        #: Names of metadata by which usage is summed up: their values are kept in any case.
        self._labels = frozenset(labels)
        #: Texts that were not kept since they could not be redacted.
        self.failures = 0

    def plain(self, record: Record, content: Content, own: bytes | None) -> Record:
        """Return the record without secrets, `own` being the caller's; without text for `none`."""
        return self.packed(record, content, own)[0]

    def packed(self, record: Record, content: Content, own: bytes | None) -> tuple[Record, bytes]:
        """Return what `plain` does, and its payload: to encode it takes more than to look at it."""
        kept = _bare(record, self._labels) if content == "none" else record
        payload = encode(kept)
        # An answer that was sent has no secret of ours, and none of the caller's that was not
        # asked. It is the end of the payload.
        asked = len(payload) - (0 if kept.response is None else len(kept.response))
        if kept.kind != "report" and not self.secrets.are_in(payload, own, asked):
            return kept, payload
        # A model that repeats a secret does so in pieces.
        kept = self.secrets.out_of(_whole(kept), own)
        return kept, encode(kept)

    def plain_begin(self, begin: Begin, content: Content, own: bytes | None) -> Begin:
        """Return the frame of a stream that begins, as `plain` does."""
        kept = _bare_begin(begin, self._labels) if content == "none" else begin
        return self.secrets.out_of(kept, own)

    def redact(self, record: Record) -> Record:
        """Return the record with all its texts redacted; a stream comes back folded.

        Where that fails its numbers are left, it is counted and told in the log.
        """
        try:
            return self.secrets.out_of(self._redacted(_whole(record)))
        except Exception:  # noqa: BLE001 (a hook may raise anything, and then no text is kept)
            self._failed(f"call {record.id}")
            return _bare(record, ())

    def redact_begin(self, begin: Begin) -> Begin:
        """Return the frame with all its texts redacted, as `redact` does."""
        try:
            request = begin.request and self._redaction.document(begin.request)
            attempts = tuple(self._attempt(each) for each in begin.attempts)
            return msgspec.structs.replace(
                self._labelled(begin), request=request, attempts=attempts
            )
        except Exception:  # noqa: BLE001 (as above)
            self._failed(f"call {begin.id}")
            return _bare_begin(begin, ())

    def drops(self, metadata: Mapping[str, str]) -> bool:
        """Tell whether `none` leaves any of the metadata out."""
        return not self._labels.issuperset(metadata)

    def labels(
        self, metadata: Mapping[str, str | None], content: Content, own: bytes | None
    ) -> dict[str, str | None]:
        """Return what a call may be labelled with, as `plain` and `redact` do.

        A value that is None takes one away.
        """
        if content == "none":
            metadata = _named(metadata, self._labels)
        kept = {
            name: value and self.secrets.hide_in(value, own) for name, value in metadata.items()
        }
        if content != "redacted":
            return kept
        try:
            return {name: value and self._redaction.text(value) for name, value in kept.items()}
        except Exception:  # noqa: BLE001 (as above)
            self._failed("labels")
            return {}

    def _failed(self, what: str) -> None:
        self.failures += 1
        log.exception("%s: a text is not kept: it cannot be redacted", what)

    def _redacted(self, record: Record) -> Record:
        kept = _numbers(record)
        return msgspec.structs.replace(
            self._labelled(kept),
            logged=record.logged,
            model=kept.model if _is_name(kept) else self._text(kept.model),
            error=self._text(kept.error),
            attempts=tuple(self._attempt(each) for each in kept.attempts),
            traceparent=_well_formed(kept.traceparent),
            request=record.request and self._redaction.document(record.request),
            response=record.response and self._redaction.document(record.response),
        )

    def _attempt(self, attempt: Attempt) -> Attempt:
        return msgspec.structs.replace(attempt, error=self._text(attempt.error))

    def _labelled(self, frame: Kept) -> Kept:
        metadata = {name: self._redaction.text(value) for name, value in frame.metadata.items()}
        agent = self._text(frame.user_agent)
        return msgspec.structs.replace(frame, metadata=metadata, user_agent=agent)

    def _text(self, text: str | None) -> str | None:
        return text and self._redaction.text(text)


def _numbers(record: Record) -> Record:
    """Return the record without bodies, the numbers of which it then has."""
    return without_text(record) if record.logged else record


def _whole(record: Record) -> Record:
    """Return a streamed record with its answer folded, since a stream tells a text in pieces."""
    if record.response_form == "json":
        return record
    said = summary_of(record, record.response, record.request)
    return msgspec.structs.replace(
        record,
        response=msgspec.json.encode(said.completion) if said.completion else None,
        response_form="json",
        error=record.error or said.error_message,
    )


def _bare(record: Record, labels: Collection[str]) -> Record:
    kept = _numbers(record)
    return msgspec.structs.replace(
        kept,
        model=kept.model if _is_name(kept) else None,
        error=_untold(kept.error),
        attempts=tuple(_without_error(each) for each in kept.attempts),
        metadata=_named(kept.metadata, labels),
        user_agent=None,
        traceparent=_well_formed(kept.traceparent),
    )


def _bare_begin(begin: Begin, labels: Collection[str]) -> Begin:
    return msgspec.structs.replace(
        begin,
        request=None,
        logged=False,
        metadata=_named(begin.metadata, labels),
        user_agent=None,
        attempts=tuple(_without_error(each) for each in begin.attempts),
    )


def _named(metadata: Mapping[str, Value], labels: Collection[str]) -> dict[str, Value]:
    return {name: value for name, value in metadata.items() if name in labels}


def _is_name(record: Record) -> bool:
    """Tell whether what was asked for as a model may be one; else it may be any text."""
    return record.provider is not None or record.kind == "report"


def _untold(error: str | None) -> str | None:
    return error and UNTOLD


def _without_error(attempt: Attempt) -> Attempt:
    return msgspec.structs.replace(attempt, error=_untold(attempt.error))


def _well_formed(traceparent: str | None) -> str | None:
    """Return a traceparent that is one; another may say anything, as may one's end."""
    parent = parent_of(traceparent)
    return parent and f"00-{parent.trace}-{parent.span}-{parent.flags:02x}"


def contents(settings: Settings) -> Contents:
    """Return what completed settings make of records.

    Raises ConfigError where the hook cannot be imported.
    """
    chosen = settings.redaction
    hook = _hook(chosen.hook) if chosen.hook else None
    redaction = Redaction(chosen.known, chosen.patterns, hook=hook)
    known = KnownSecrets(config.secrets(settings))
    return Contents(redaction, labels=settings.usage.metadata, secrets=known)


def _hook(name: str) -> Step:
    module, _, function = name.partition(":")
    try:
        found: Callable[[str], str] = getattr(importlib.import_module(module), function)
    except Exception as error:  # the module is the operator's, and may raise anything
        raise ConfigError(
            f"redaction.hook = {name!r}: cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not callable(found):
        raise ConfigError(f"redaction.hook = {name!r}: is no function")
    return found
