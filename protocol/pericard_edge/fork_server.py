"""The environment of confined workers: nothing of their parent's but what programs need to start.

A parent has secrets in its environment: its token for the KMS, its database's password. Workers get theirs
from multiprocessing's fork server, which gets its parent's. What a process was started with stays readable
in /proc/PID/environ, whatever it deletes later. So this module, which the fork server imports before it forks
(`set_forkserver_preload`), has it start itself anew. Only the fork server does that: elsewhere the import
does nothing. The parent's environment is never changed, for its threads may be reading it.

It hides nothing of the other processes of the same user: the parent's own /proc/PID/environ stays readable to
whoever runs code as that user.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping

_KEPT = frozenset({"HOME", "LANG", "LANGUAGE", "PATH", "TMPDIR", "TZ"})
_KEPT_BEGINNINGS = ("LC_", "LD_", "PYTHON")


def bare(environment: Mapping[str, str]) -> dict[str, str]:
    """What of an environment a worker may have: known names only, so that a new secret is not passed on."""
    return {
        name: value
        for name, value in environment.items()
        if name in _KEPT or name.startswith(_KEPT_BEGINNINGS)
    }


def is_bare() -> bool:
    """Whether this process has no more than that."""
    return bare(os.environ) == dict(os.environ)


def _in_fork_server() -> bool:
    """A worker has its fork server's command line, but a name of its own."""
    started = sys.orig_argv[-1].startswith("from multiprocessing.forkserver import main")
    return started and multiprocessing.current_process().name == "MainProcess"


# The file descriptors that it was given stay open: they were made inheritable for its first start.
if _in_fork_server() and not is_bare():
    os.execve(sys.executable, sys.orig_argv, bare(os.environ))  # noqa: S606 - its own command line, no shell
