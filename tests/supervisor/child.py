"""A child that does what the line on its standard input says, and writes down what happens."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import Any


class Child:
    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.ended = threading.Event()

    def note(self, what: str) -> None:
        # One write in append mode: several children share the file.
        with open(self.spec["notes"], "a") as notes:  # noqa: PTH123  # -S: keep start-up short
            notes.write(f"{self.spec['name']} {what}\n")

    def on_term(self, _number: int, _frame: FrameType | None) -> None:
        self.note("asked")
        if not self.spec.get("stubborn"):
            self.ended.set()

    def on_leave(self, _number: int, _frame: FrameType | None) -> None:
        self.note("told to leave")
        self.ended.set()

    def on_int(self, _number: int, _frame: FrameType | None) -> None:
        self.note("interrupted")

    def run(self) -> int:
        signal.signal(signal.SIGTERM, self.on_term)
        signal.signal(signal.SIGINT, self.on_int)
        signal.signal(signal.SIGUSR1, self.on_leave)
        self.note(f"started {os.getpid()}")
        if "refuse" in self.spec:
            print(json.dumps({"ready": False, "error": self.spec["refuse"]}), flush=True)
            return 1
        if self.spec.get("crash"):
            return 3
        if not self.spec.get("mute"):
            print("a line that is no report", flush=True)
            print(json.dumps({"ready": True, "pid": os.getpid()}), flush=True)
        if self.spec.get("done"):
            return int(self.spec.get("status", 0))
        if "listen" in self.spec:
            threading.Thread(target=self.answer, args=(self.spec["listen"],), daemon=True).start()
        threading.Thread(target=self.watch_supervisor, daemon=True).start()
        while not self.ended.wait(0.02):
            pass
        time.sleep(self.spec.get("linger", 0))
        self.note("ended")
        return int(self.spec.get("status", 0))

    def watch_supervisor(self) -> None:
        if sys.stdin.readline() == "":
            self.note("orphaned")
            self.ended.set()

    def answer(self, fd: int) -> None:
        listening = socket.socket(fileno=fd)
        while True:
            client, _ = listening.accept()
            with client:
                client.sendall(str(os.getpid()).encode())


if __name__ == "__main__":
    sys.exit(Child(json.loads(sys.stdin.readline())).run())
