"""``kumite``: reads the arguments and calls the command."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from webapp.cli.errors import CliError, Exit

Command = Callable[[argparse.Namespace], int]
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
    _add_reading(commands)
    return parser


def _add(commands: Any, name: str, help_text: str, call: Command) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(name, help=help_text, description=help_text)
    added.set_defaults(call=call, command=name)
    return added


def _remote(name: str, module: str = "commands") -> Command:
    """The function of that name in a module beside this one, imported when it is called."""

    def call(arguments: argparse.Namespace) -> int:
        command: Command = getattr(import_module(f"webapp.cli.{module}"), name)
        return command(arguments)

    return call


def _add_local(commands: Any) -> None:
    for name, help_text in (
        ("up", "Start everything on this machine."),
        ("demo", "Start everything, teach the starter model and watch it play against itself."),
    ):
        start = _add(commands, name, help_text, _up)
        start.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        start.add_argument("--port", type=int, help="port to listen on (default: the first free one from 8000)")
    _add(commands, "down", "Stop what runs here.", _down)
    _add(commands, "status", "Tell what runs here.", _status)
    _add(commands, "login-link", "Print a new link that signs the operator in once.", _login_link)


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
    login = _add(commands, "login", "Store the address of a server and your token.", _remote("login"))
    login.add_argument("--url", help="address of the server (default: http://127.0.0.1:8000)")
    login.add_argument("--token", help="token from your account page; asked for if left out")


def _add_specs(commands: Any) -> None:
    methods = _add(commands, "methods", "List the self-play methods, or show one.", _remote("methods"))
    methods.add_argument("slug", nargs="?", metavar="METHOD")
    run = _add(commands, "run", "Create an experiment from a spec and queue its run.", _remote("run"))
    run.add_argument("--workspace", help="slug of the workspace; needed if you belong to several")
    run.add_argument("--watch", action="store_true", help="follow the run until it ends")
    launch = _add(
        commands, "launch", "Create one experiment with several runs: seeds, and a sweep of knobs.", _remote("launch")
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
    validate = _add(commands, "validate", "Check a spec without a server.", _validate)
    validate.add_argument("--resolved", action="store_true", help="print it with every default written out")
    for added in (run, validate):
        added.add_argument("spec", metavar="SPEC.YAML", help="file with the spec; - reads standard input")
        added.add_argument("--set", action="append", default=[], metavar="A.B=C", help="change one field; repeatable")


def _validate(arguments: argparse.Namespace) -> int:
    from webapp.cli.specs import validate

    return validate(arguments)


def _add_runs(commands: Any) -> None:
    runs = _add(commands, "runs", "List runs, newest first.", _remote("runs"))
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
    runs.add_argument("--limit", type=_positive, default=20, help="most rows (default: %(default)s)")
    runs.add_argument("--json", action="store_true", help="print JSON")
    show = _with_run(_add(commands, "show", "Show one run.", _remote("show")))
    show.add_argument("--json", action="store_true", help="print JSON")
    for name, help_text in (
        ("pause", "Pause a run after its present step, with a checkpoint."),
        ("resume", "Put a paused run back into the queue."),
        ("checkpoint", "Save a checkpoint after the present step."),
        ("stop", "Stop a run after its present step, with a checkpoint."),
    ):
        _with_run(_add(commands, name, help_text, _remote("control")))


def _add_taking_part(commands: Any) -> None:
    def add(name: str, help_text: str, function: str = "") -> argparse.ArgumentParser:
        added = _add(commands, name, help_text, _remote(function or name, "taking_part"))
        added.add_argument("--json", action="store_true", help="print JSON")
        return added

    listed = _with_run(add("orders", "List what was ordered of a run, and what became of it."))
    listed.add_argument("--limit", type=_positive, default=20, help="most rows (default: %(default)s)")
    overrule = _with_run(add("overrule", "Let a run at work learn that a verdict is wrong."))
    overrule.add_argument("episode", metavar="EPISODE", help="the sample's name: 12-s3")
    overrule.add_argument("turn", metavar="TURN", type=int, help="the judged turn by its place, from 0")
    overrule.add_argument("value", choices=("right", "wrong", "back"), help="back lets the judge's word stand")
    knob = _with_run(add("set", "Turn a live knob of a run at work.", "set_knob"))
    knob.add_argument("change", metavar="A.B=C", help="field and new value: method.optimizer.lr=0.0005")
    question = _with_run(add("question", "Add a question to a run's pool, or mark one as bad."))
    question.add_argument("action", choices=("add", "remove"), help="remove takes it out for good")
    question.add_argument("question", metavar="QUESTION")
    question.add_argument("--answer", help="to an added question, where it is known")
    for added in (overrule, knob, question):
        added.add_argument("--wait", action="store_true", help="until the run has obeyed or refused")
    review = add("review", "List judged turns to check, the most instructive first; the judge's word is hidden.")
    review.add_argument("--item", metavar="RUN/EPISODE/TURN", help="show this one in full")
    review.add_argument("--run", metavar="RUN", help="only this run's")
    review.add_argument("--limit", type=_positive, default=10, help="most rows (default: %(default)s)")
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
    say = _with_run(_add(commands, "say", "Let a run's weights answer a prompt.", _remote("say")))
    say.add_argument("prompt", metavar="PROMPT", help="what is said; - reads standard input")
    say.add_argument(
        "--prompt-name", default="", help="take PROMPT as the {question} of this prompt of the method: solve"
    )
    say.add_argument("--beside-start", action="store_true", help="let the weights the run began with answer too")
    say.add_argument(
        "--temperature", type=float, default=1.0, help="0 takes the likeliest token (default: %(default)s)"
    )
    say.add_argument("--max-tokens", type=_positive, default=256, help="longest answer (default: %(default)s)")
    say.add_argument("--seed", type=int, default=0, help="equal seeds give equal answers (default: %(default)s)")
    export = _add(
        commands, "export-model", "Save a checkpoint as a Hugging Face folder, zipped.", _remote("export_model")
    )
    _with_run(export).add_argument("--out", default="", metavar="FILE.ZIP", help="where to write it")
    export.add_argument("--adapter", action="store_true", help="leave a LoRA adapter a file of its own")
    for added in (say, export):
        added.add_argument("--step", type=int, help="step of the checkpoint, 0 for the start (default: the newest)")
        added.add_argument("--policy", default="", help="which policy, where a run trains several")


def _add_reading(commands: Any) -> None:
    metrics = _with_run(_add(commands, "metrics", "Print a run's metrics, or their names.", _remote("metrics")))
    metrics.add_argument("--name", action="append", default=[], help="metric to print, e.g. reward/solver; repeatable")
    metrics.add_argument("--csv", action="store_true", help="print CSV")
    metrics.add_argument("--max-points", type=_positive, default=10_000, help="most points a metric (10 to 10000)")
    imported = _add(
        commands, "import", "Bring in metrics of another tool as a run to compare with.", _remote("import_files")
    )
    imported.add_argument(
        "files", nargs="+", metavar="FILE", help="JSON lines, or event files of TensorBoard; one run each"
    )
    imported.add_argument("--project", required=True, help="the experiment's name")
    imported.add_argument("--workspace", default="", help="slug of the workspace; needed if you belong to several")
    example = _add(commands, "example", "Lay out finished example runs to look at.", _remote("example"))
    example.add_argument("--remove", action="store_true", help="take them away again, with all that was said of them")
    example.add_argument("--workspace", default="", help="slug of the workspace; needed if you belong to several")
    _add(commands, "sync", "Send what programs with kumite.log() could not send.", _remote("sync"))
    export = _with_run(_add(commands, "export", "Save a run's metrics or samples as a file.", _remote("export")))
    export.add_argument("--what", choices=("metrics", "samples"), default="metrics", help="(default: %(default)s)")
    export.add_argument(
        "--format", choices=("csv", "jsonl", "parquet", "tensorboard"), default="csv", help="(default: %(default)s)"
    )
    export.add_argument("--out", default="", metavar="FILE", help="where to write it")
    code = _with_run(_add(commands, "code", "Save the code a run was carried out with.", _remote("code")))
    code.add_argument("--out", default="", metavar="FILE", help="where to write the ZIP file")
    diff = _with_run(_add(commands, "diff", "Print what differs in settings and code of two runs.", _remote("diff")))
    diff.add_argument("other", metavar="OTHER", help="the run it became, named in the same way")
    samples = _with_run(_add(commands, "samples", "List sampled questions, or read one.", _remote("samples")))
    samples.add_argument("--seq", type=_positive, help="read this one in full")
    shows = ("all", "disagreement", "wrong", "right", "kept", "rejected")
    samples.add_argument("--show", choices=shows, default="all", help="which ones (default: %(default)s)")
    samples.add_argument("--limit", type=_positive, default=20, help="most rows (default: %(default)s)")
    logs = _with_run(_add(commands, "logs", "Print a run's log.", _remote("logs")))
    logs.add_argument("--follow", action="store_true", help="go on until the run ends")
    logs.add_argument("--limit", type=_positive, default=100, help="most lines to begin with (default: %(default)s)")


def _with_run(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("run", metavar="RUN", help="id, first characters of it, or 'last'")
    return parser


def _positive(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
