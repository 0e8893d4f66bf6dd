"""``kumite``: reads the arguments and calls the command."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from webapp.cli.arguments import ORDERS, command, positive, remote, with_filter, with_run
from webapp.cli.errors import CliError, Exit
from webapp.cli.library_arguments import add_library
from webapp.cli.team_arguments import add_team

EPILOG = """\
A RUN is a run's id, the first characters of it, or 'last'.
Sign in once with 'kumite login'; KUMITE_URL and KUMITE_TOKEN override what it stored.

exit codes: 0 done, 1 failed, 2 wrong input, 3 not signed in or not allowed, 4 not found, 5 no server answers
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the ``kumite`` script."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.call(arguments))
    except CliError as error:
        from webapp.cli import screen

        screen.err.print(screen.clean(error), style="red", markup=False, soft_wrap=True)
        return error.code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kumite",
        description="Compose, run and watch language models that improve by self-play.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_local(commands)
    _add_sign_in(commands)
    _add_specs(commands)
    _add_runs(commands)
    _add_taking_part(commands)
    _add_jobs(commands)
    add_library(commands)
    _add_reading(commands)
    add_team(commands)
    return parser


def _add_local(commands: Any) -> None:
    for name, help_text in (
        ("up", "Start everything on this machine."),
        ("demo", "Start everything, teach the starter model and watch it play against itself."),
    ):
        start = command(commands, name, help_text, _up)
        start.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        start.add_argument("--port", type=int, help="port to listen on (default: the first free one from 8000)")
    command(commands, "down", "Stop what runs here.", _down)
    command(commands, "status", "Tell what runs here.", _status)
    command(commands, "login-link", "Print a new link that signs the operator in once.", _login_link)


def _up(arguments: argparse.Namespace) -> int:
    from webapp.cli.up import up

    return up(demo=arguments.command == "demo", host=arguments.host, port=arguments.port)


def _down(_: argparse.Namespace) -> int:
    from webapp.cli.up import down

    return down()


def _status(_: argparse.Namespace) -> int:
    from webapp.cli.up import status

    return status()


def _login_link(_: argparse.Namespace) -> int:
    from webapp.cli.up import login_link

    return login_link()


def _add_sign_in(commands: Any) -> None:
    login = command(commands, "login", "Store the address of a server and your token.", remote("login"))
    login.add_argument("--url", help="address of the server (default: http://127.0.0.1:8000)")
    login.add_argument("--token", help="token from your account page; asked for if left out")


def _add_specs(commands: Any) -> None:
    methods = command(commands, "methods", "List the self-play methods, or show one.", remote("methods"))
    methods.add_argument("slug", nargs="?", metavar="METHOD")
    methods.add_argument("--json", action="store_true", help="print JSON")
    run = command(commands, "run", "Create an experiment from a spec and queue its run.", remote("run"))
    run.add_argument("--workspace", help="slug of the workspace; needed if you belong to several")
    run.add_argument("--watch", action="store_true", help="follow the run until it ends")
    launch = command(
        commands, "launch", "Create one experiment with several runs: seeds, and a sweep of knobs.", remote("launch")
    )
    launch.add_argument("spec", metavar="SPEC.YAML", help="file with the spec; - reads standard input")
    launch.add_argument("--workspace", help="slug of the workspace; needed if you belong to several")
    launch.add_argument("--seeds", metavar="N", help="how many seeds, or which: 3, or 1,5,9, or 1-5")
    launch.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="A.B=C,D",
        help="values of one field; several with commas are swept, one is set; repeatable",
    )
    launch.add_argument("--paired", action="store_true", help="first values together, then second ones, ...")
    validate = command(commands, "validate", "Check a spec without a server.", _validate)
    validate.add_argument("--resolved", action="store_true", help="print it with every default written out")
    for added in (run, validate):
        added.add_argument("spec", metavar="SPEC.YAML", help="file with the spec; - reads standard input")
        added.add_argument("--set", action="append", default=[], metavar="A.B=C", help="change one field; repeatable")


def _validate(arguments: argparse.Namespace) -> int:
    from webapp.cli.specs import validate

    return validate(arguments)


def _add_runs(commands: Any) -> None:
    runs = command(commands, "runs", "List runs, newest first.", remote("runs"))
    runs.add_argument("--status", help="queued, running, paused, succeeded, failed, ...")
    runs.add_argument("--method", help="slug of a method")
    runs.add_argument("--search", help="part of the experiment's name")
    runs.add_argument("--tag", help="only runs with this tag")
    runs.add_argument(
        "--columns",
        default="",
        metavar="METRIC[:HOW],...",
        help="further columns: any metric as its last, best, high, low or mean value",
    )
    runs.add_argument("--limit", type=positive, default=20, help="most rows (default: %(default)s)")
    runs.add_argument("--json", action="store_true", help="print JSON")
    show = with_run(command(commands, "show", "Show one run.", remote("show")))
    show.add_argument("--json", action="store_true", help="print JSON")
    for name, help_text in (
        ("pause", "Pause a run after its present step, with a checkpoint."),
        ("resume", "Put a paused run back into the queue."),
        ("checkpoint", "Save a checkpoint after the present step."),
        ("stop", "Stop a run after its present step, with a checkpoint."),
    ):
        with_run(command(commands, name, help_text, remote("control")))


def _add_taking_part(commands: Any) -> None:
    def add(name: str, help_text: str, function: str = "") -> argparse.ArgumentParser:
        added = command(commands, name, help_text, remote(function or name, "taking_part"))
        added.add_argument("--json", action="store_true", help="print JSON")
        return added

    listed = with_run(add("orders", "List what was ordered of a run, and what became of it."))
    listed.add_argument("--limit", type=positive, default=20, help="most rows (default: %(default)s)")
    overrule = with_run(add("overrule", "Let a run at work learn that a verdict is wrong."))
    overrule.add_argument("episode", metavar="EPISODE", help="the sample's name: 12-s3")
    overrule.add_argument("turn", metavar="TURN", type=int, help="the judged turn by its place, from 0")
    overrule.add_argument("value", choices=("right", "wrong", "back"), help="back lets the judge's word stand")
    knob = with_run(add("set", "Turn a live knob of a run at work.", "set_knob"))
    knob.add_argument("change", metavar="A.B=C", help="field and new value: method.optimizer.lr=0.0005")
    question = with_run(add("question", "Add a question to a run's pool, or mark one as bad."))
    question.add_argument("action", choices=("add", "remove"), help="remove takes it out for good")
    question.add_argument("question", metavar="QUESTION")
    question.add_argument("--answer", help="to an added question, where it is known")
    for added in (overrule, knob, question):
        added.add_argument("--wait", action="store_true", help="until the run has obeyed or refused")
    review = add("review", "List judged turns to check, the most instructive first; the judge's word is hidden.")
    review.add_argument("--item", metavar="RUN/EPISODE/TURN", help="show this one in full")
    review.add_argument("--run", metavar="RUN", help="only this run's")
    review.add_argument("--limit", type=positive, default=10, help="most rows (default: %(default)s)")
    verdict = add("verdict", "Say whether a judged turn is right; then the judge's word is told.")
    verdict.add_argument("item", metavar="RUN/EPISODE/TURN", help="as 'kumite review' lists it")
    verdict.add_argument("label", choices=("right", "wrong", "unclear", "back"), help="back takes it back")
    verdict.add_argument("--note", default="", help="why; kept with the verdict")
    verdict.add_argument("--saw-judge", action="store_true", help="you knew the judge's word")
    calibration = add("calibration", "List calibration sets, or save one as JSON lines.")
    calibration.add_argument("--save", metavar="SUBJECT", default="", help="make a version of this one and save it")
    calibration.add_argument("--out", default="", metavar="FILE", help="where to write it")
    for added in (review, calibration):
        added.add_argument("--workspace", default="", help="slug of the workspace; needed if you belong to several")


def _add_jobs(commands: Any) -> None:
    say = with_run(command(commands, "say", "Let a run's weights answer a prompt.", remote("say")))
    say.add_argument("prompt", metavar="PROMPT", help="what is said; - reads standard input")
    say.add_argument(
        "--prompt-name", default="", help="take PROMPT as the {question} of this prompt of the method: solve"
    )
    say.add_argument("--beside-start", action="store_true", help="let the weights the run began with answer too")
    say.add_argument(
        "--temperature", type=float, default=1.0, help="0 takes the likeliest token (default: %(default)s)"
    )
    say.add_argument("--max-tokens", type=positive, default=256, help="longest answer (default: %(default)s)")
    say.add_argument("--seed", type=int, default=0, help="equal seeds give equal answers (default: %(default)s)")
    export = command(
        commands, "export-model", "Save a checkpoint as a Hugging Face folder, zipped.", remote("export_model")
    )
    with_run(export).add_argument("--out", default="", metavar="FILE.ZIP", help="where to write it")
    export.add_argument("--adapter", action="store_true", help="leave a LoRA adapter a file of its own")
    for added in (say, export):
        added.add_argument("--step", type=int, help="step of the checkpoint, 0 for the start (default: the newest)")
        added.add_argument("--policy", default="", help="which policy, where a run trains several")


def _add_reading(commands: Any) -> None:
    metrics = with_run(command(commands, "metrics", "Print a run's metrics, or their names.", remote("metrics")))
    metrics.add_argument("--name", action="append", default=[], help="metric to print, e.g. reward/solver; repeatable")
    form = metrics.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV")
    form.add_argument("--json", action="store_true", help="print JSON")
    metrics.add_argument("--max-points", type=positive, default=10_000, help="most points a metric (10 to 10000)")
    imported = command(
        commands, "import", "Bring in metrics of another tool as a run to compare with.", remote("import_files")
    )
    imported.add_argument(
        "files", nargs="+", metavar="FILE", help="JSON lines, or event files of TensorBoard; one run each"
    )
    imported.add_argument("--project", required=True, help="the experiment's name")
    imported.add_argument("--workspace", default="", help="slug of the workspace; needed if you belong to several")
    example = command(commands, "example", "Lay out finished example runs to look at.", remote("example"))
    example.add_argument("--remove", action="store_true", help="take them away again, with all that was said of them")
    example.add_argument("--workspace", default="", help="slug of the workspace; needed if you belong to several")
    command(commands, "sync", "Send what programs with kumite.log() could not send.", remote("sync"))
    export = with_run(command(commands, "export", "Save a run's metrics or samples as a file.", remote("export")))
    export.add_argument("--what", choices=("metrics", "samples"), default="metrics", help="(default: %(default)s)")
    export.add_argument(
        "--format", choices=("csv", "jsonl", "parquet", "tensorboard"), default="csv", help="(default: %(default)s)"
    )
    export.add_argument("--out", default="", metavar="FILE", help="where to write it")
    with_filter(export)
    code = with_run(command(commands, "code", "Save the code a run was carried out with.", remote("code")))
    code.add_argument("--out", default="", metavar="FILE", help="where to write the ZIP file")
    diff = with_run(command(commands, "diff", "Print what differs in settings and code of two runs.", remote("diff")))
    diff.add_argument("other", metavar="OTHER", help="the run it became, named in the same way")
    samples = with_run(command(commands, "samples", "List sampled questions, or read one.", remote("samples")))
    samples.add_argument("--seq", type=positive, help="read this one in full")
    with_filter(samples)
    search = command(commands, "search", "Find samples in the newest runs of your workspaces.", remote("search"))
    search.add_argument("search", metavar="WORDS", nargs="?", default="", help='all of these words; "quoted" together')
    search.add_argument("--workspace", default="", help="only runs of this one")
    with_filter(search, words=False)
    for added in (samples, search):
        added.add_argument("--order", choices=ORDERS, default="newest", help="(default: %(default)s)")
        added.add_argument("--limit", type=positive, default=20, help="most rows (default: %(default)s)")
        added.add_argument("--json", action="store_true", help="print JSON")
    logs = with_run(command(commands, "logs", "Print a run's log.", remote("logs")))
    logs.add_argument("--follow", action="store_true", help="go on until the run ends")
    logs.add_argument("--limit", type=positive, default=100, help="most lines to begin with (default: %(default)s)")


if __name__ == "__main__":
    sys.exit(main())
