"""The append-only record files: one write a call, recovered after any crash."""

from standpipe.spool.names import new_boot
from standpipe.spool.reader import Segment, Tail, ends, is_drained
from standpipe.spool.writer import Spool, SpoolFull

__all__ = ["Segment", "Spool", "SpoolFull", "Tail", "ends", "is_drained", "new_boot"]
