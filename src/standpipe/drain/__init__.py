"""From the spool to the store: one process that reads every worker's segments."""

from standpipe.drain.drain import Drain
from standpipe.drain.process import run_process

__all__ = ["Drain", "run_process"]
