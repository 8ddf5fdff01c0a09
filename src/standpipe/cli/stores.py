"""The store as commands need it: opened if it is there, or made if it is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

from standpipe.config import Settings
from standpipe.errors import BadRequest, ConfigError
from standpipe.store.rows import Project
from standpipe.store.store import Store

DEFAULT_PROJECT = "default"


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """Open a store that is there; ConfigError says what to do where it is not."""
    if is_absent(settings):
        raise ConfigError(
            f"there is no store at {place(settings)} yet: run `standpipe serve` first"
        )
    with closing(_open(settings)) as store:
        if not store.is_current():
            raise ConfigError(
                f"the tables at {place(settings)} are not this version's: "
                "`standpipe serve` brings them up to date"
            )
        yield store


@contextmanager
def made(settings: Settings) -> Iterator[Store]:
    """Open the store; make what is missing of data directory, tables and a first project."""
    with migrated(settings) as store:
        if not store.projects():
            with suppress(BadRequest):  # another node was quicker
                store.add_project(DEFAULT_PROJECT)
        yield store


@contextmanager
def migrated(settings: Settings) -> Iterator[Store]:
    """Open the store; make what is missing of data directory and tables."""
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{settings.home} cannot be made: {error.strerror}") from error
    with closing(_open(settings)) as store:
        if not store.is_current():
            store.migrate()
        yield store


def first(store: Store) -> Project:
    """Return the project that is meant where none is named."""
    return store.project(DEFAULT_PROJECT) or store.projects()[0]


def is_absent(settings: Settings) -> bool:
    """Tell whether the store is a file that is not there; opening it would make an empty one."""
    file = settings.store_file
    return file is not None and not file.exists()


def place(settings: Settings) -> str:
    """Return where the store is, without the password that a URL may have."""
    file = settings.store_file
    if file is not None:
        return str(file)
    url = urlsplit(settings.store_url)
    return f"{url.scheme.partition('+')[0]}://{url.hostname or ''}{url.path}"


def project_named(store: Store, name: str) -> Project:
    """Return the project of a name or id; ConfigError lists those that there are."""
    project = store.project(name)
    if project is None:
        known = ", ".join(each.name for each in store.projects()) or "none yet"
        raise ConfigError(f"there is no project {name!r}; there are: {known}")
    return project


def project_id(store: Store, name: str | None) -> str | None:
    """Return the id of the project that was named; None, which means all, where none was."""
    return None if name is None else project_named(store, name).id


def project_names(store: Store) -> dict[str, str]:
    """Return the projects' names by their ids."""
    return {project.id: project.name for project in store.projects()}


def _open(settings: Settings) -> Store:
    return Store.open(settings.store_url, usage_names=settings.usage.metadata)
