"""``python -m workers worker`` and ``python -m workers beat``: become the Celery process, under the same pid."""

import argparse
import os
from collections.abc import Sequence

from workers.commands import beat_argv, worker_argv


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    worker = commands.add_parser("worker", help="carry out runs")
    worker.add_argument("--name", default="kumite", help="told apart on the Fleet page; the host's name is appended")
    worker.add_argument("--beat", action="store_true", help="keep the clock too; one worker of an installation should")
    commands.add_parser("beat", help="keep the clock only")
    options = parser.parse_args(arguments)
    argv = worker_argv(name=options.name, beat=options.beat) if options.command == "worker" else beat_argv()
    os.execv(argv[0], argv)  # noqa: S606


if __name__ == "__main__":
    main()
