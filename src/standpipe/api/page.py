"""The page at /docs: the OpenAPI document for people, in one file that loads nothing.

It knows the document and the address it was asked at; no key, model or call.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib import resources
from typing import Any

from standpipe import __version__, errors
from standpipe.api.forms import fields, kind, parameters, table
from standpipe.api.html import Html, el, join, prose, raw
from standpipe.api.openapi import document, error_classes, meaning, operations
from standpipe.providers.openai import CODES

Json = dict[str, Any]

_MARK = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" aria-hidden="true">'
    '<rect width="32" height="32" rx="8" fill="#0b6e77"/>'
    '<g fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round">'
    '<path d="M11 26V12a5 5 0 0 1 10 0v2"/><path d="M7 26h8"/><path d="M18 14h6"/></g>'
    '<path d="M21 18.5c1.600 2 2.400 3.200 2.400 4.300a2.400 2.400 0 0 1-4.800 0c0-1.100.8-2.300'
    ' 2.400-4.300z" fill="#9fe3e8"/></svg>'
)
_ICON = "data:image/svg+xml;base64," + base64.b64encode(_MARK.encode()).decode()
_LEAD = (
    "An OpenAI-compatible gateway that remembers. Point a client here, call any model its "
    "operator has set up, and read back later what was asked and answered."
)
_MODEL = "MODEL"
_STYLE = resources.files("standpipe.api").joinpath("page.css").read_text("utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

#: Nothing is loaded, run, framed or sent anywhere.
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

#: What the page is sent with.
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # The page has the Host header in it: no cache may give it to another.
    "cache-control": "no-store",
}


def render(root: str) -> str:
    """Return the page for a server reached at `root`, such as `http://localhost:8787`."""
    start = _start(root)
    head = el(
        "head",
        raw('<meta charset="utf-8">'),
        raw('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        raw('<meta name="color-scheme" content="light dark">'),
        raw(f'<link rel="icon" href="{_ICON}">'),
        el("title", "Standpipe API"),
        el("style", raw(_STYLE)),
    )
    jump = el("details", el("summary", "Contents"), _links(), class_="jump")
    body = el("body", _sidebar(), el("main", _top(), jump, start, _rest()))
    return "<!doctype html>\n" + el("html", head, body, lang="en")


def _top() -> Html:
    name = el("h1", raw(_MARK), "Standpipe")
    return el("header", name, el("p", _LEAD, class_="lead"), id="top")


def _section(title: str, *content: str, name: str) -> Html:
    return el("section", el("h2", title), *content, id=name)


def _start(root: str) -> Html:
    bases = [
        (el("code", f"{root}/v1", class_="base"), "for OpenAI's clients"),
        (el("code", f"{root}/api/v1", class_="base"), "for OpenPipe's clients"),
    ]
    return _section(
        "Base URL",
        el("dl", *(el("div", el("dt", url), el("dd", use)) for url, use in bases), class_="bases"),
        _code("curl", _curl(root)),
        _code("Python", _python(root)),
        el(
            "p",
            prose(
                "The key goes into `Authorization: Bearer KEY`, and says to which project a call "
                "belongs. What to put for `MODEL`: "
            ),
            el("a", "GET /models", href="#listModels"),
            " lists the names this key may call. A read-only key may read, and change nothing.",
        ),
        name="start",
    )


def _curl(root: str) -> str:
    body = json.dumps({"model": _MODEL, "messages": [{"role": "user", "content": "Hello"}]})
    return (
        f"curl {root}/v1/chat/completions \\\n"
        '  -H "Authorization: Bearer $STANDPIPE_API_KEY" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d '{body}'"
    )


def _python(root: str) -> str:
    return (
        "import os\nfrom openai import OpenAI\n\n"
        "client = OpenAI(\n"
        f'    base_url="{root}/v1",\n'
        '    api_key=os.environ["STANDPIPE_API_KEY"],\n)\n'
        "answer = client.chat.completions.create(\n"
        f'    model="{_MODEL}",\n'
        '    messages=[{"role": "user", "content": "Hello"}],\n)\n'
        "print(answer.choices[0].message.content)"
    )


def _code(title: str, code: str) -> Html:
    return el("figure", el("figcaption", title), el("pre", el("code", code)))


def _sidebar() -> Html:
    brand = el("a", raw(_MARK), "Standpipe", href="#top", class_="brand")
    return el("nav", brand, _links(), aria_label="Contents")


@cache
def _links() -> Html:
    groups: dict[str, list[Html]] = {"Using it": [_link("Base URL", "start")]}
    for method, path, operation, _ in operations(document()["paths"]):
        if name := operation.get("operationId"):
            link = el("a", _method(method), el("span", _breakable(path)), href=f"#{name}")
            groups.setdefault(operation["tags"][0], []).append(el("li", link))
    about = ("Headers", "Errors", "Forms")
    groups["Reference"] = [_link(title, title.lower()) for title in about]
    return join(*(join(el("h2", group), el("ul", *links)) for group, links in groups.items()))


def _link(title: str, name: str) -> Html:
    return el("li", el("a", title, href=f"#{name}"))


@cache
def _rest() -> Html:
    groups: dict[str, list[Html]] = {}
    for method, path, operation, item in operations(document()["paths"]):
        if "operationId" in operation:
            article = _article(method, path, operation, item)
            groups.setdefault(operation["tags"][0], []).append(article)
    sections = [
        _section(group, *articles, name=group.lower().replace(" ", "-"))
        for group, articles in groups.items()
    ]
    return join(*sections, _headers(), _errors(), _forms(), _foot())


def _article(method: str, path: str, operation: Json, item: Json) -> Html:
    title = el("h3", _method(method), el("code", _breakable(path)), *_badges(operation, item))
    told = " ".join(filter(None, (operation["summary"], operation.get("description"))))
    parts = [title, el("p", prose(told))]
    listed = operation.get("parameters", [])
    if found := [p for p in listed if p["in"] != "header"]:
        parts.append(parameters(found))
    if names := [p["name"] for p in listed if p["in"] == "header"]:
        parts.append(_heeded(names))
    if "requestBody" in operation:
        parts += _body(operation["requestBody"]["content"]["application/json"])
    parts += [_answer(operation["responses"]["200"]), _statuses(operation["responses"])]
    return el("article", *parts, id=operation["operationId"])


def _heeded(names: list[str]) -> Html:
    link = el("a", "Headers", href="#headers")
    return el(
        "p",
        link,
        " that it heeds: ",
        *(join(el("code", name), " ") for name in names),
        class_="heeded",
    )


def _badges(operation: Json, item: Json) -> list[Html]:
    told = {
        "deprecated": operation.get("deprecated", False),
        "no key": operation.get("security") == [],
        "no prefix": len(item.get("servers", ())) == 1,
    }
    return [el("span", badge, class_="badge") for badge, is_so in told.items() if is_so]


def _body(content: Json) -> list[Html]:
    name = content["schema"]["$ref"].rpartition("/")[2]
    schema = document()["components"]["schemas"][name]
    told = schema.get("description")
    shown = [
        _code(title, json.dumps(example["value"], indent=2))
        for title, example in content["examples"].items()
    ]
    examples = el("details", el("summary", "Examples" if len(shown) > 1 else "Example"), *shown)
    rows = fields(schema, nulls=False) if schema.get("properties") else raw("")
    return [el("h4", "Body"), *([el("p", prose(told))] if told else []), rows, examples]


def _answer(answer: Json) -> Html:
    told = [
        join(el("code", media), " ", kind(content["schema"], nulls=True))
        for media, content in answer["content"].items()
    ]
    lines = [el("li", line) for line in told]
    return join(el("h4", "Answer"), el("p", prose(answer["description"])), el("ul", *lines))


def _statuses(responses: Json) -> Html:
    listed = [el("a", status, href=f"#e{status}") for status in responses if status.isdigit()][1:]
    return el("p", "Errors ", *(join(link, " ") for link in listed), class_="statuses")


def _headers() -> Html:
    chat = document()["paths"]["/chat/completions"]["post"]["parameters"]
    asked = [(p["name"], p) for p in chat if p["in"] == "header"]
    given = document()["components"]["headers"].items()
    return _section(
        "Headers",
        el("h4", "Of a call to ", el("code", "/chat/completions")),
        _header_table(asked),
        el("h4", "Of answers"),
        _header_table(list(given)),
        name="headers",
    )


def _header_table(headers: list[tuple[str, Json]]) -> Html:
    rows = []
    for name, told in headers:
        badge = el("span", "deprecated", class_="badge") if told.get("deprecated") else raw("")
        shown = join(el("code", _breakable(name)), badge)
        rows.append((shown, kind(told["schema"], nulls=True), prose(told["description"])))
    return table(rows, "Header", "Value", "Meaning")


def _errors() -> Html:
    example = errors.body(
        errors.BadRequest(
            "Input validation failed: temperature: must be a number from 0 to 2, not 3",
            param="temperature",
            issues=["temperature: must be a number from 0 to 2, not 3"],
        )
    )
    classes = sorted(error_classes(), key=lambda each: each.status)
    met: set[int] = set()
    rows = []
    for error in classes:
        anchor = {} if error.status in met else {"id": f"e{error.status}"}
        met.add(error.status)
        shown = el("span", f"{error.status} ", el("code", _breakable(error.code)), **anchor)
        rows.append((shown, el("code", error.openai_type), prose(meaning(error))))
    own = {error.code for error in classes}
    passed = [el("code", code) for code in dict.fromkeys(CODES.values()) if code not in own]
    return _section(
        "Errors",
        el(
            "p",
            "Every error has one body, under both prefixes: OpenPipe's clients read its top level, "
            "OpenAI's read ",
            el("code", "error"),
            ".",
        ),
        _code("400", json.dumps(example, indent=2)),
        table(rows, "Status and code", "error.type", "Meaning"),
        el(
            "p",
            "A provider's own refusal comes with the provider's status, message and type, and may "
            "also have one of these codes: ",
            *(join(code, " ") for code in passed),
        ),
        name="errors",
    )


def _forms() -> Html:
    schemas = document()["components"]["schemas"]
    bodies = {
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for _, _, operation, _ in operations(document()["paths"])
        if "requestBody" in operation
    }
    shown = [
        el("article", el("h3", name), _form(schema), id=name, class_="form-of")
        for name, schema in schemas.items()
        if name not in bodies
    ]
    return _section("Forms", *shown, name="forms")


def _form(schema: Json) -> Html:
    told = schema.get("description")
    return join(el("p", prose(told)) if told else raw(""), fields(schema, nulls=True))


def _foot() -> Html:
    link = el("a", "openapi.json", href="/openapi.json")
    return el("footer", f"Standpipe {__version__} · this page as data: ", link)


def _method(method: str) -> Html:
    return el("span", method, class_=f"method {method.lower()}")


def _breakable(name: str) -> Html:
    """Return a name of ours with places at which a narrow screen may break it."""
    return raw(name.replace("/", "/<wbr>").replace("_", "_<wbr>").replace("-", "-<wbr>"))
