"""What systemd wants to hear from a service of `Type=notify-reload` or `notify` (sd_notify(3))."""

from __future__ import annotations

import contextlib
import socket
import time


class Notifier:
    """Tells who started the service how it is; does nothing if nobody wants to hear.

    `address` is a path, or a name behind "@" (NOTIFY_SOCKET).
    """

    def __init__(self, address: str | None) -> None:
        is_abstract = address is not None and address.startswith("@")
        self._address = f"\0{address[1:]}" if address and is_abstract else address

    def ready(self) -> None:
        """Tell that it serves, be it again."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """Tell that it reads its configuration again; `ready` ends that."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Tell that it comes to its end."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if self._address is None:
            return
        # Who does not listen any more has no use for it.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.connect(self._address)
            out.sendall(state.encode())
