"""How the worker and the beat are started: the exact commands, for whoever supervises them."""

import sys


def worker_argv(*, name: str = "kumite", beat: bool = False) -> list[str]:
    """A worker of this machine; as many processes as it has slots, two for short tasks and one for jobs.

    With ``beat`` it also keeps the clock that rings every few seconds; one worker of an installation should. SIGTERM
    ends it in order: its runs save a checkpoint and go back to the queue.
    """
    argv = [*_celery(), "worker", "--hostname", f"{name}@%h", "--pool", "prefork", "--loglevel", "INFO"]
    argv += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [*argv, "--beat"] if beat else argv


def beat_argv() -> list[str]:
    """The clock alone, for installations with several workers."""
    return [*_celery(), "beat", "--pidfile=", "--loglevel", "INFO"]


def _celery() -> list[str]:
    return [sys.executable, "-m", "celery", "--app", "workers.app:app"]
