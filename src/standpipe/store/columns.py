"""A `Row` as the values of the `records` table's columns, and back."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any

import msgspec

from standpipe.store.content import Packed
from standpipe.store.rows import Row
from standpipe.store.schema import records
from standpipe.wire.record import Attempt, Usage

# The table's columns in order are: the row's plain fields, the usage that 0001 knew, three of JSON,
# the texts as 0001 had them, what 0002 added.
_RENAMED = {"project_id": "project", "key_id": "key"}
_NAMES = [_RENAMED.get(column.name, column.name) for column in records.columns]
_USAGE = Usage.__struct_fields__
_FIRST = _NAMES[: _NAMES.index(_USAGE[0])]
_JSON = _NAMES.index("metadata")
#: How many figures of usage 0001 knew.
_OLD = _JSON - len(_FIRST)

_first_of = attrgetter(*_FIRST)
_usage_of = attrgetter(*_USAGE)
_NO_USAGE: tuple[None, ...] = (None,) * len(_USAGE)

#: A dollar in the units that costs are kept in, of which sums are exact.
DOLLAR = 10**12

# A column of whole numbers holds 64 bits with the sign.
_LIMIT = 1 << 63

_encode = msgspec.json.encode
_metadata = msgspec.json.Decoder(dict[str, str])
_attempts = msgspec.json.Decoder(tuple[Attempt, ...])
_fidelity = msgspec.json.Decoder(tuple[str, ...])


def values_of(row: Row, packed: Packed) -> tuple[Any, ...]:
    """Return a row's values in the order of the table's columns, its texts as they were packed."""
    usage = _NO_USAGE if row.usage is None else _usage_of(row.usage)
    return (
        *_first_of(row),
        *usage[:_OLD],
        metadata_text(row.metadata),
        _encode(row.attempts).decode(),
        _encode(row.fidelity).decode(),
        None,
        None,
        None if row.cost is None else int(row.cost * DOLLAR),
        *usage[_OLD:],
        packed.head,
        packed.request_body,
        packed.response_body,
    )


def row_of(values: Sequence[Any], request: str | None, response: str | None) -> Row:
    """Return the row of a query that selects the whole table, and of its texts."""
    metadata, attempts, fidelity, _, _, cost, written, hour, *_ = values[_JSON:]
    usage = (*values[len(_FIRST) : _JSON], written, hour)
    return Row(
        **dict(zip(_FIRST, values, strict=False)),
        usage=None if all(figure is None for figure in usage) else Usage(*usage),
        cost=None if cost is None else Decimal(cost) / DOLLAR,
        metadata=_metadata.decode(metadata),
        attempts=_attempts.decode(attempts),
        fidelity=_fidelity.decode(fidelity),
        request=request,
        response=response,
    )


def metadata_text(metadata: dict[str, str]) -> str:
    """Return the JSON that the `metadata` column keeps of a map."""
    return _encode(metadata).decode()


def metadata_of(text: str) -> dict[str, str]:
    """Return the map that the `metadata` column keeps."""
    return _metadata.decode(text)


def storable(row: Row) -> Row:
    """Return the row with the values that no column can hold mended.

    Unpaired surrogates become `?`, and NULs, which PostgreSQL has no place for, U+FFFD. A number
    beyond 64 bits, which can only be nonsense, becomes None, or 0 where the column must have one.
    """
    usage = row.usage and msgspec.structs.replace(
        row.usage, **{name: _mended(getattr(row.usage, name)) for name in _USAGE}
    )
    mended: dict[str, Any] = {name: _mended(getattr(row, name)) for name in Row.__struct_fields__}
    times = {name: mended[name] or 0 for name in ("requested_at", "received_at", "updated_at")}
    return Row(**{**mended, **times, "usage": usage})


def _mended(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
        case int() if not -_LIMIT <= value < _LIMIT:
            return None
        case dict():
            return {_mended(name): _mended(item) for name, item in value.items()}
        case tuple():
            return tuple(_mended(item) for item in value)
        case _:
            return value
