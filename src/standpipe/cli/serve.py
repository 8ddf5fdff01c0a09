"""`standpipe serve`: the process tree, and the first screen."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Sequence

import msgspec
import typer
from typing_extensions import override

from standpipe import config, log
from standpipe.api import ended, worker_state
from standpipe.cli import engines
from standpipe.cli.children import children, worker_count
from standpipe.cli.prepared import Prepared
from standpipe.cli.preparing import prepared
from standpipe.config import Settings
from standpipe.engine.address import Engines
from standpipe.errors import ConfigError
from standpipe.providers.rows import completed
from standpipe.server.sockets import bind_beside, bind_each
from standpipe.supervisor import ChildSpec, Notifier, Owner, Ready, Supervisor
from standpipe.wire.known_secrets import KnownSecrets

logger = logging.getLogger(__name__)

#: What nothing that runs can be moved away from.
FIXED = ("server.host", "server.port", "server.home", "store.url")


def serve(config_path: str | None = None, workers: int | None = None) -> None:
    """Serve the API until Ctrl-C; `workers` beats the configuration."""
    settings = _read(config_path, workers)
    _log_as_wanted(settings)
    served = _Served(settings, prepared(settings), config_path, workers)
    raise typer.Exit(Supervisor(served.wanted(), served).run())


def _log_as_wanted(settings: Settings) -> None:
    log.set_up(KnownSecrets(config.secrets(settings)), settings.logging)


def _read(config_path: str | None, workers: int | None) -> Settings:
    settings = completed(config.load(config_path))
    if workers is None:
        return settings
    server = msgspec.structs.replace(settings.server, workers=workers)
    return msgspec.structs.replace(settings, server=server)


class _Served(Owner):
    """What is served: the configuration as it was read last, the sockets, the engines' places."""

    def __init__(
        self,
        settings: Settings,
        prepared: Prepared,
        config_path: str | None,
        workers: int | None,
    ) -> None:
        self._settings = settings
        self._prepared = prepared
        self._arguments = config_path, workers
        self._engines = engines.plan(settings)
        self._notifier = Notifier(config.notify_socket())
        self._run = worker_state.directory(settings.home)
        host, port = settings.server.host, settings.server.port
        self._sockets = bind_each(host, port, worker_count(settings))
        worker_state.forget(self._run)
        self._ended: Counter[str] = Counter()

    def wanted(self) -> list[ChildSpec]:
        """Return the children to have; from now on it is told how often each has ended."""
        found = children(self._settings, self._prepared, self._sockets, self._engines)
        for child in found:
            self._ended.setdefault(child.name, 0)
        ended.tell(self._run, self._ended)
        return found

    @override
    def on_ready(self, ready: Ready) -> None:
        from standpipe.cli.screen import show

        port = self._sockets[0].getsockname()[1]
        workers = [name for name in ready if name.startswith("worker-")]
        lacking = _lacking(self._engines, ready)
        show(self._settings, port, self._prepared, workers=workers, lacking=lacking)
        self._notifier.ready()

    @override
    def on_reload(self) -> Sequence[ChildSpec] | None:
        self._notifier.reloading()
        try:
            settings = _read(*self._arguments)
            _check_fixed(self._settings, settings)
            more = worker_count(settings) - len(self._sockets)
            self._sockets += bind_beside(self._sockets[0], more)
        except ConfigError as error:
            self._say(f"not reloaded, all stays as it is: {error}")
            self._notifier.ready()
            return None
        self._settings = settings
        _log_as_wanted(settings)
        self._say("reloading: each worker leaves once its replacement is ready")
        self._engines = engines.plan(settings, self._engines)
        return self.wanted()

    @override
    def on_reloaded(self, *, is_whole: bool) -> None:
        self._say("reloaded" if is_whole else "not reloaded as a whole, for the reason above")
        self._notifier.ready()

    @override
    def on_end(self, name: str, pid: int) -> None:
        worker_state.forget(self._run, name, pid)
        self._ended[name] += 1
        ended.tell(self._run, self._ended)

    @override
    def on_stop(self) -> None:
        self._notifier.stopping()
        for each in self._sockets:
            each.close()
        self._say("\nstopping: running calls may finish, then the records are stored")

    def _say(self, what: str) -> None:
        """Tell who watches, in the form that the log has."""
        if self._settings.logging.format == "json":
            logger.warning(what.strip())
        else:
            sys.stderr.write(f"{what}\n")


def _check_fixed(before: Settings, after: Settings) -> None:
    changed = [name for name in FIXED if _setting(before, name) != _setting(after, name)]
    if changed:
        raise ConfigError(f"{' and '.join(changed)} cannot change while it runs: start it anew")


def _setting(settings: Settings, dotted: str) -> object:
    section, name = dotted.split(".")
    return getattr(getattr(settings, section), name)


def _lacking(planned: Engines, ready: Ready) -> dict[str, str]:
    """Return what keeps each local chat model from answering, where something does."""
    found = {name: where.missing for name, where in planned.chat.items() if where.missing}
    for name in planned.chat:
        if name not in found and engines.child_name(name) not in ready:
            found[name] = "its engine did not start, for the reason above"
    return found
