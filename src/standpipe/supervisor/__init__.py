"""The process tree: starts children, watches them, starts them again, replaces and stops them.

Standard library only, so that it stays small. It knows no worker, engine or drain: what each
child is gets decided by who builds the `ChildSpec`s.
"""

from standpipe.supervisor.child import Backoff, ChildSpec, ChildState
from standpipe.supervisor.notify import Notifier
from standpipe.supervisor.supervisor import Owner, Ready, Supervisor

__all__ = ["Backoff", "ChildSpec", "ChildState", "Notifier", "Owner", "Ready", "Supervisor"]
