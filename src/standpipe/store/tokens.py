"""Keys as their holders know them: `sp_<10 base62 public id>_<43 base64url secret>`.

The public id names a key in lists and logs; the secret is seen once, when the key is made.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string

_BASE62 = string.digits + string.ascii_letters
_TOKEN = re.compile(r"sp_([0-9A-Za-z]{10})_[0-9A-Za-z_-]{43}")


def new_token() -> tuple[str, str]:
    """Return a new key: its public id and the whole token, which is to be shown once."""
    public_id = "".join(secrets.choice(_BASE62) for _ in range(10))
    return public_id, f"sp_{public_id}_{secrets.token_urlsafe(32)}"


def hash_token(token: str) -> bytes:
    """Return what the store keeps of a token: the SHA-256 of its UTF-8."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def public_id_of(token: str) -> str | None:
    """Return the public id in a token, None for a token of another form."""
    match = _TOKEN.fullmatch(token)
    return match[1] if match else None
