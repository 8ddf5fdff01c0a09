"""Texts without what must not be kept: each thing found leaves its name, as in `[email]`.

Pure. Every pattern is linear in the text's length: a run of characters is entered at its beginning
alone, and never given back. Patterns of the operator's own are `re`'s, and as quick as they are
written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

#: From a text to the text that may be kept.
Step = Callable[[str], str]


class Redaction:
    """What is taken out of texts: the built-in patterns named, then others, then the hook."""

    def __init__(
        self, known: Sequence[str] = (), patterns: Mapping[str, str] | None = None, *,
        hook: Step | None = None,
    ) -> None:  # fmt: skip
        own = (_own(name, re.compile(pattern)) for name, pattern in (patterns or {}).items())
        self._steps: list[Step] = [step for name, step in KNOWN.items() if name in known]
        self._steps += own
        if hook is not None:
            self._steps.append(hook)

    def text(self, text: str) -> str:
        """Return a text redacted; raises what the hook raises, TypeError where it gives no text.

        Media in Base64 stay as they are.
        """
        if len(text) >= _MEDIA_LEAST and _MEDIA.fullmatch(text):
            return text
        for step in self._steps:
            text = step(text)
            if not isinstance(text, str):
                raise TypeError("a hook must return a text")
        return text

    def document(self, body: bytes) -> bytes | None:
        """Return a JSON document with its strings redacted and all else as it is.

        Names of objects and numbers stay. A string that is itself an object or a list in JSON, as
        the arguments of a tool are, stays one; in it names and numbers are redacted too. None for
        what is no JSON: nobody can tell what it says.
        """
        text = _valid(body)
        return None if text is None else _STRING.sub(self._string, text).encode()

    def _string(self, found: re.Match[str]) -> str:
        if found["name"]:
            return found[0]
        return self._quoted(found["text"])

    def _quoted(self, quoted: str) -> str:
        plain = _plain(quoted)
        kept = self._value(plain)
        return quoted if kept == plain else _written(kept)

    def _value(self, plain: str) -> str:
        if plain[:1] in _OPENING and _valid(plain.encode("utf-8", "replace")) is not None:
            return _TOKEN.sub(self._token, plain)
        return self.text(plain)

    def _token(self, found: re.Match[str]) -> str:
        token = found[0]
        if token.startswith('"'):
            return self._quoted(token)
        kept = self.text(token)
        return token if kept == token else _written(kept)


_OPENING = frozenset(("{", "["))
#: A string in a JSON document, with the colon that makes it a name.
_STRING = re.compile(r'(?P<text>"[^"\\]*+(?:\\.[^"\\]*+)*+")(?P<name>\s*+:)?', re.DOTALL)
#: A string in one, or a whole number long enough to be somebody's.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|(?<![\d.eE+-])\d{7,}+(?![.eE])', re.DOTALL)

#: Characters from which on a text may be media: no secret or number is as long without a break.
_MEDIA_LEAST = 2048
_MEDIA = re.compile(r"(?:data:[\w./+-]{1,80};base64,)?[A-Za-z0-9+/_-]*+={0,2}")


def _plain(quoted: str) -> str:
    """Return what a string in JSON says."""
    return msgspec.json.decode(quoted, type=str) if "\\" in quoted else quoted[1:-1]


def _written(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _valid(body: bytes) -> str | None:
    """Return the text of a JSON document, None if it is none."""
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
        return body.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _own(name: str, pattern: re.Pattern[str]) -> Step:
    mark = f"[{name}]"
    return lambda text: pattern.sub(lambda _: mark, text)


# --- what is built in ---------------------------------------------------------------------------


def _apart(form: str, from_: str) -> str:
    """Return a form, of a fixed width, that none of the characters `from_` stands before.

    It looks back only where the form is found, which is quick. An escape may stand before it: text
    in JSON is often quoted in other text.
    """
    return rf"{form}(?:(?<![{from_}]{form})|(?<=\\[nrt]{form}))"


#: How a kind of secret begins, and how it goes on.
_SECRETS: tuple[tuple[str, str], ...] = (
    ("sk-", r"[\w-]{16,}+"),
    ("sp_", r"[0-9A-Za-z]{10}_[\w-]{43}"),
    ("AIza", r"[\w-]{35}"),
    ("AKIA", r"[0-9A-Z]{16}(?!\w)"),
    ("ASIA", r"[0-9A-Z]{16}(?!\w)"),
    ("gh", r"[opsur]_[0-9A-Za-z]{36,}+"),
    ("github_pat_", r"\w{22,}+"),
    ("glpat-", r"[\w-]{20,}+"),
    ("xox", r"[a-z]-[\w-]{10,}+"),
    ("sk_live_", r"\w{16,}+"),
    ("rk_live_", r"\w{16,}+"),
    ("gsk_", r"\w{20,}+"),
    ("hf_", r"\w{20,}+"),
    ("xai-", r"[\w-]{20,}+"),
    ("eyJ", r"[\w-]{8,}+\.[\w-]{8,}+\.[\w-]*+"),
    ("Bearer ", r" *+[\w.~+/-]{15,}[\w~+/-]=*+"),
    ("bearer ", r" *+[\w.~+/-]{15,}[\w~+/-]=*+"),
)


def _forms() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Yield what a text with a secret has in it, and the secret's form; the widest first."""
    key = r"(?:[^-]++|-(?!----))*+(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----)?"
    yield "PRIVATE KEY", re.compile(rf"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----{key}")
    yield "://", re.compile(r"(?<=://)[^\s/:@\"'<>]*+:[^\s/@\"'<>]++(?=@)")
    for begins, goes_on in _SECRETS:
        yield begins, re.compile(_apart(begins, r"\w-") + goes_on)


_FORMS = tuple(_forms())


def _without_secrets(text: str) -> str:
    for mark, form in _FORMS:
        if mark in text:
            text = form.sub("[secret]", text)
    return text


_EMAIL = re.compile(
    r"(?!(?<=\\)[nrt])" + _apart("", r"\w.%+'-") + r"[\w.%+'-]++@(?:[\w-]++\.)+[^\W\d_]{2,}+"
)


def _without_emails(text: str) -> str:
    return _EMAIL.sub("[email]", text) if "@" in text else text


#: With its country's code.
_ABROAD = re.compile(_apart(r"\+", r"\w+.") + r"\d(?:[ .()/-]{0,2}\d){7,14}(?!\w)")
#: As North America writes it: (555) 123-4567, 555-123-4567, 1-555-123-4567.
_AT_HOME = re.compile(
    _apart(r"[\d(]", r"\w+-") + r"(?<!\d\..)"
    r"(?:(?<=\()\d{3}\) ?|(?<=\d)\d\d[.-]|(?<=1)[ .-](?:\(\d{3}\) ?|\d{3}[.-]))"
    r"\d{3}[.-]\d{4}(?![\w-])"
)


def _without_phones(text: str) -> str:
    """Leave digits alone that nothing parts: they may be anything."""
    return _AT_HOME.sub("[phone]", _ABROAD.sub("[phone]", text))


#: Digits in one piece, or in the groups that cards have.
_CARD = re.compile(
    _apart(r"\d", "0-9A-Za-z") + r"(?<!\d\.\d)"
    r"(?:\d{12,18}|\d{3}[ -]\d{4}[ -]\d{4}[ -]\d{1,4}(?:[ -]\d{1,3})?|\d{3}[ -]\d{6}[ -]\d{4,5})"
    r"(?![0-9A-Za-z])"
)


def _without_cards(text: str) -> str:
    return _replaced(text, _CARD, _is_card, "[card]")


def _is_card(digits: str) -> bool:
    """Tell whether digits are a payment card's: an issuer's beginning, and Luhn's check."""
    if len(digits) < 13 or digits[0] not in "23456":
        return False
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    total = sum(map(int, digits[-1::-2])) + sum(each // 10 + each % 10 for each in doubled)
    return total % 10 == 0


#: In one piece, or in groups of four.
_IBAN = re.compile(
    _apart(r"[A-Z][A-Z]\d\d", "0-9A-Za-z")
    + r"(?:[0-9A-Z]{11,30}|(?: [0-9A-Z]{4}){2,7}(?: [0-9A-Z]{1,3})?)(?![0-9A-Za-z])"
)


def _without_ibans(text: str) -> str:
    return _replaced(text, _IBAN, _is_iban, "[iban]")


def _is_iban(account: str) -> bool:
    """Tell whether a text is an account's number by ISO 13616: its check digits are right."""
    return len(account) >= 15 and int((account[4:] + account[:4]).translate(_FIGURES)) % 97 == 1


#: What letters stand for in the check: A is 10, Z is 35.
_FIGURES = {ord(letter): str(int(letter, 36)) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def _replaced(text: str, form: re.Pattern[str], is_one: Callable[[str], bool], mark: str) -> str:
    """Return a text with `mark` for what has the form and is one, be it without its last groups."""
    kept, at = [], 0
    found = form.search(text)
    while found:
        ends = (end for end in _ends(found[0]) if is_one(_SPACES.sub("", found[0][:end])))
        length = next(ends, 0)
        if length:
            kept += [text[at : found.start()], mark]
            at = found.start() + length
        found = form.search(text, found.start() + (length or _GROUP))
    return "".join([*kept, text[at:]]) if kept else text


#: Characters of a group; another card or account may begin after it.
_GROUP = 4
_SPACES = re.compile(r"[ -]")


def _ends(run: str) -> list[int]:
    """Return where a run of groups may end, its own end first."""
    return [len(run), *(found.start() for found in reversed(list(_SPACES.finditer(run))))]


#: The built-in patterns by name, in the order in which they are looked for: a secret may have any
#: of the others in it.
KNOWN: Mapping[str, Step] = {
    "secret": _without_secrets,
    "email": _without_emails,
    "iban": _without_ibans,
    "card": _without_cards,
    "phone": _without_phones,
}
