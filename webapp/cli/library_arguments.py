"""The arguments of what works with the library: rubrics, dry runs, grading again."""

import argparse
from typing import Any

from webapp.cli.arguments import WORKSPACE_HELP, command, positive, remote, with_run

KINDS = ("answer", "question", "pair", "vote")


def add_library(commands: Any) -> None:
    def added(name: str, help_text: str, function: str = "") -> argparse.ArgumentParser:
        parser = command(commands, name, help_text, remote(function or name, "rubrics"))
        parser.add_argument("--workspace", default="", help=WORKSPACE_HELP)
        parser.add_argument("--json", action="store_true", help="print JSON")
        return parser

    listed = added("rubrics", "List rubrics: how judges are asked.")
    listed.add_argument("--kind", choices=KINDS, default="", help="only those that do this")
    listed.add_argument("--retired", action="store_true", help="those that are offered no more")
    read = added("rubric", "Print a rubric's text, and its versions.")
    save = added("rubric-save", "Keep a text as a new rubric, or as the next version of one.", "rubric_save")
    retire = added("rubric-retire", "Offer a rubric no more, or again.", "rubric_retire")
    dry = added("dry-run", "Try a rubric on ten stored samples of a run, beside what the judge said.", "dry_run")
    again = added("grade-again", "Let a run's newest answers be judged again, outside the run.", "grade_again")
    for parser in (read, save, retire, dry):
        parser.add_argument("name", metavar="NAME", help="the rubric's name")
    read.add_argument("--against", type=positive, metavar="N", help="print what differs from version N")
    save.add_argument("file", metavar="FILE", help="file with the text; - reads standard input")
    save.add_argument("--kind", choices=KINDS, help="what a new one does")
    save.add_argument("--note", default="", help="what changed and what for")
    retire.add_argument("--back", action="store_true", help="offer it again")
    with_run(dry).add_argument("--text", metavar="FILE", help="try this text in place of a version's; - reads it")
    with_run(again).add_argument(
        "--rubric", metavar="NAME", default="", help="ask in its words, not in the judge's own"
    )
    again.add_argument("--samples", type=positive, default=60, help="newest samples (default: %(default)s)")
    again.add_argument("--verdicts", type=positive, default=1, help="verdicts on each answer (default: %(default)s)")
    for parser in (read, dry, again):
        parser.add_argument("--version", type=positive, help="of the rubric (default: the newest)")
    for parser in (dry, again):
        parser.add_argument("--judge", metavar="RUN", help="whose weights judge (default: those of RUN itself)")
        parser.add_argument("--step", type=int, help="step of its checkpoint, 0 for the start (default: the newest)")
        parser.add_argument("--policy", default="", help="which policy, where a run trains several")
