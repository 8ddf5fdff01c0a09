"""The first screen: where the API is, with which key, what answers, and something to paste."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from standpipe import __version__
from standpipe.cli.prepared import Prepared
from standpipe.config import Settings

CURL = """\
curl {base}/chat/completions \\
  -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Say hello."}}]}}'"""

PYTHON = """\
from openai import OpenAI
client = OpenAI(base_url="{base}", api_key="{key}")
answer = client.chat.completions.create(
    model="{model}", messages=[{{"role": "user", "content": "Say hello."}}])
print(answer.choices[0].message.content)"""

#: What stands for the key in a snippet when it is not ours to show.
HELD_BACK = "YOUR_KEY"


def show(
    settings: Settings,
    port: int,
    prepared: Prepared,
    *,
    workers: Sequence[str],
    lacking: dict[str, str],
) -> None:
    """Print the screen; `lacking` says what keeps which local model from answering."""
    console = Console(highlight=False)
    scheme = "https" if settings.server.tls_certificate else "http"
    root = f"{scheme}://{_host(settings)}:{port}"
    console.print(Text.assemble("\n  ", ("Standpipe", "bold cyan"), f" {__version__} is ready\n"))
    console.print(_table(settings, root, prepared, workers=workers, lacking=lacking))
    model = _example_model(settings, lacking)
    if model is not None:
        _print_snippets(console, f"{root}/api/v1", prepared.token or HELD_BACK, model)
    console.print("  Stop with Ctrl-C.\n", style="dim")


def _table(
    settings: Settings,
    root: str,
    prepared: Prepared,
    *,
    workers: Sequence[str],
    lacking: dict[str, str],
) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("  Base URL", f"{root}/api/v1")
    table.add_row("", Text(f"or {root}/v1, with OpenAI's shapes throughout", style="dim"))
    table.add_row("  Key", _key_line(settings, prepared))
    table.add_row("  Data", str(settings.home.absolute()))
    if len(workers) > 1:
        table.add_row("  Workers", ", ".join(workers))
    for index, line in enumerate(_models(settings, lacking)):
        table.add_row("" if index else "  Models", line)
    table.add_row("  Docs", f"{root}/docs")
    return table


def _key_line(settings: Settings, prepared: Prepared) -> Text:
    if prepared.away is not None:
        said = f"the store is away: {prepared.away}. Keys are answered 503 until it is there"
        return Text(said, style="yellow")
    if prepared.token is not None:
        return Text.assemble((prepared.token, "green"), ("  shown this once: keep it", "dim"))
    if prepared.given:
        return Text("the one in STANDPIPE_API_KEY, and those you made")
    if settings.first_key is not None:
        said = "STANDPIPE_API_KEY counts at the first start only, and is no key here; "
        return Text.assemble((said, "yellow"), ("`standpipe keys create` makes one", "dim"))
    return Text("as made before; `standpipe keys create` makes another", style="dim")


def _models(settings: Settings, lacking: dict[str, str]) -> list[Text]:
    lines = []
    for name in settings.local.chat():
        what = lacking.get(name)
        state = (f"  not yet: {what}", "yellow") if what else ("  on this machine", "dim")
        lines.append(Text.assemble(name, state))
    for name, route in settings.routes.items():
        led = "; ".join(f"{target.provider}, {target.model}" for target in route.targets)
        lines.append(Text.assemble(name, (f"  {led}", "dim")))
    for name, mixture in settings.mixtures.items():
        lines.append(Text.assemble(name, (f"  a mixture, answered by {mixture.final}", "dim")))
    for name, row in settings.providers.items():
        offered = f"  {', '.join(row.models)}" if row.models else ""
        lines.append(Text.assemble(f"{name}:<model>", (f"  {row.base_url}{offered}", "dim")))
    return lines or [Text("none: add a table [providers.<name>] to standpipe.toml", style="yellow")]


def _example_model(settings: Settings, lacking: dict[str, str]) -> str | None:
    """Return a model that should answer, None if we know of none."""
    for name in settings.local.chat():
        if name not in lacking:
            return name
    listed = [*settings.routes]
    listed += [f"{name}:{m}" for name, row in settings.providers.items() for m in row.models]
    return listed[0] if listed else None


def _print_snippets(console: Console, base: str, key: str, model: str) -> None:
    for title, snippet in (("Try it in a shell", CURL), ("or in Python", PYTHON)):
        console.print(f"\n  [bold]{title}[/bold]\n")
        # Unindented and unwrapped, so that it can be pasted.
        console.out(snippet.format(base=base, key=key, model=model), highlight=False)
    console.print()


def _host(settings: Settings) -> str:
    host = settings.server.host
    if host in ("", "0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
