"""`standpipe verify`: whether all that the record files hold is in the store, and fits together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from standpipe import config
from standpipe.cli import output
from standpipe.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from collections import Counter

    from standpipe.cli.checks import Finding
    from standpipe.config import Settings
    from standpipe.store.store import Store

#: State, what it is about, what was found of it, and what to do.
Told = tuple[Literal["note", "wrong"], str, str, str]

_REPORT = "this should not be: please report it"
_STYLES = {"ok": "green", "note": "yellow", "wrong": "bold red"}


def verify(
    *,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Store what is missing; count anew what is wrong."),
    ] = False,
    contents: Annotated[
        bool, typer.Option("--contents", help="Compare texts too, which takes longer.")
    ] = False,
    as_json: JsonOption = False,
    config_path: ConfigOption = None,
) -> None:
    """Check record files and store against each other; exit with 1 if anything is wrong.

    Reads every record file and every table, while the server runs or not.
    """
    from standpipe.cli import stores
    from standpipe.providers.rows import completed

    settings = completed(config.load(config_path))
    with stores.opened(settings) as store, output.console(stderr=True).status("verifying"):
        compared = _spool(settings, store, repair=repair, contents=contents)
        findings = [*compared, *_tables(store, repair=repair)]
    if as_json:
        for each in findings:
            line = {"state": each.state, "what": each.what, "found": each.found}
            output.print_json({**line, "advice": each.advice})
    else:
        _print(findings)
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(1)


def _spool(settings: Settings, store: Store, *, repair: bool, contents: bool) -> Iterator[Finding]:
    from standpipe.cli.checks import Finding
    from standpipe.cli.undrained import prices
    from standpipe.cli.verifying import Compared

    known = prices(settings)
    compared = Compared(store, settings.spool_dir, known, mend=repair, contents=contents)
    compared.run()
    counts = compared.counts
    told = f"{counts['records']:,} in {counts['segments']:,} segments"
    yield Finding("ok", "Records read", told)
    if counts["waiting"]:
        told = f"{counts['waiting']:,} are on their way to the store"
        yield Finding("ok", "Waiting", told, "`standpipe serve` stores them, if it does not run")
    yield _missing(counts, compared.examples)
    if contents:
        yield _differing(counts, compared.different)
    for name, (state, what, found, advice) in _OTHERS.items():
        if counts[name]:
            yield Finding(state, what, f"{counts[name]:,} {found}", advice)


def _missing(counts: Counter[str], examples: list[str]) -> Finding:
    from standpipe.cli.checks import Finding

    missing, mended = counts["missing"], counts["mended"]
    if not missing:
        return Finding("ok", "Missing", "none")
    if missing == mended:
        return Finding("note", "Missing", f"{mended:,} were missing and are stored now")
    told = f"{missing:,} records are not in the store, such as {', '.join(examples)}"
    return Finding("wrong", "Missing", told, "`standpipe verify --repair` stores them")


def _differing(counts: Counter[str], different: list[str]) -> Finding:
    from standpipe.cli.checks import Finding

    if not counts["differ"]:
        told = f"{counts['alike']:,} records have the texts they came with"
        return Finding("ok", "Contents", told)
    told = f"{counts['differ']:,} records have others than they came with: {', '.join(different)}"
    return Finding("wrong", "Contents", told, "restore a backup from before")


#: What else may be found in the record files.
_OTHERS: dict[str, Told] = {
    "doubled": ("wrong", "Doubled", "records are there twice and differ", _REPORT),
    "strange": ("wrong", "Damage", "frames are no records", "check the disk"),
    "damaged": ("wrong", "Damage", "bytes in *.damaged cannot be read", "check the disk"),
    "torn": ("note", "Torn", "bytes at the ends of segments are no records", "left by a crash"),
    "forgotten": (
        "note",
        "Damage",
        "records in old *.damaged files are not in the store",
        "they may have been deleted; remove the files when you have looked at them",
    ),
}


def _tables(store: Store, *, repair: bool) -> Iterator[Finding]:
    from standpipe.cli.checks import Finding

    faults = store.faults()
    if repair and (faults["sizes"] or faults["usage"]):
        store.recount()
        told = f"{faults['sizes']:,} sizes and {faults['usage']:,} hours are counted anew"
        yield Finding("note", "Repaired", told)
        faults = store.faults()
    yield from _faults(faults)


def _faults(faults: Mapping[str, int]) -> Iterator[Finding]:
    from standpipe.cli.checks import Finding

    for name, (state, what, found, advice) in _IN_TABLES.items():
        if faults[name]:
            yield Finding(state, what, f"{faults[name]:,} {found}", advice)
        else:
            yield Finding("ok", what, "right")


#: What may be wrong with the tables.
_IN_TABLES: dict[str, Told] = {
    "unreadable": ("wrong", "Texts", "messages are gone that calls need", "restore a backup"),
    "unused": ("note", "Messages", "belong to no call", "they take room and do no harm"),
    "sizes": (
        "wrong",
        "Sizes",
        "projects have texts of another size than is written down",
        "`standpipe verify --repair` counts anew",
    ),
    "usage": (
        "wrong",
        "Usage",
        "hours have other sums than their calls",
        "`standpipe verify --repair` counts anew",
    ),
}


def _print(findings: list[Finding]) -> None:
    table = output.table("", "What", "Found", "What to do", elastic=("Found", "What to do"))
    for each in findings:
        state = output.cell(each.state, _STYLES[each.state])
        table.add_row(state, each.what, output.folded(each.found), output.folded(each.advice))
    output.console().print(table)
