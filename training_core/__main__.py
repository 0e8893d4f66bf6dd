"""``python -m training_core``: run a spec, check one, do a job, make the starter model, measure the machine, list methods."""

import argparse
import faulthandler
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from training_core.curricula.registry import curriculum_names
from training_core.distributed.launch import Gang, gang_of, last_state, launch
from training_core.distributed.lifeline import LOST, die_with_launcher, is_rank
from training_core.spec.events import EventKind, RunPhase
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import SpecError, dump_yaml, load_file
from training_core.spec.tasks import TASKS

EXIT = {RunPhase.SUCCEEDED: 0, RunPhase.STOPPED: 3, RunPhase.PAUSED: 3, RunPhase.FAILED: 1}
EXIT_PERSON_CAN_FIX = 2
EXIT_PEER_LOST = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 succeeded, 3 stopped or paused with a checkpoint, 2 spec, model or data unusable, 1 crashed,
    4 the processes of the run lost one another, so that it can go on from its checkpoint."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except (SpecError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_PERSON_CAN_FIX


def _run(options: argparse.Namespace) -> int:
    if is_rank():
        die_with_launcher()
    # A supervisor that finds the run hanging asks for the stacks of all threads with SIGUSR1.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    spec = load_file(options.spec)
    line = ProgressLine(spec)
    if is_rank():
        from training_core.distributed.rank import run_rank

        return run_rank(spec, options.dir, models_dir=options.models, resume=options.resume, listener=line.show)
    gang = gang_of(spec.resources, host_rank=options.host_rank, rendezvous=options.rendezvous)
    if gang.size > 1:
        return _launch(options, gang, line)
    from training_core.runner import Run

    phase = Run(spec, options.dir, models_dir=options.models, listener=line.show).execute(resume=options.resume)
    line.close()
    return _exit_status(phase, line.failure)


def _launch(options: argparse.Namespace, gang: Gang, line: "ProgressLine") -> int:
    arguments = ["run", str(options.spec), "--dir", str(options.dir)]
    arguments += ["--resume"] if options.resume else []
    arguments += ["--models", str(options.models)] if options.models else []
    problem = launch(gang, arguments, folder=options.dir, threads=load_file(options.spec).resources.threads)
    if problem is not None:
        _write(f"failed: {problem.text}", final=True)
        _write(problem.traceback or "", final=True)
        return _exit_status(RunPhase.FAILED, problem.kind)
    state = last_state(options.dir) or {}
    return _exit_status(RunPhase(state.get("phase", RunPhase.FAILED)), state.get("failure"))


def _exit_status(phase: RunPhase, failure: str | None) -> int:
    from training_core.failures import PERSON_CAN_FIX

    if phase is RunPhase.FAILED and failure in PERSON_CAN_FIX:
        return EXIT_PERSON_CAN_FIX
    if phase is RunPhase.FAILED and failure == LOST:
        return EXIT_PEER_LOST
    return EXIT[phase]


def _validate(options: argparse.Namespace) -> int:
    sys.stdout.write(dump_yaml(load_file(options.spec)))
    return 0


def _starter(options: argparse.Namespace) -> int:
    from training_core.curricula.registry import find_curriculum
    from training_core.policies.models_dir import default_models_dir
    from training_core.policies.starter import ensure_starter

    tasks = find_curriculum(options.curriculum).tasks
    kind = options.task or tasks[0]
    if kind not in tasks:
        _write(f"The curriculum {options.curriculum} teaches {' and '.join(tasks)} only, not {kind}.", final=True)
        return EXIT_PERSON_CAN_FIX
    folder = ensure_starter(
        task=TASKS[kind](),
        curriculum=options.curriculum,
        models_dir=options.models or default_models_dir(),
        progress=lambda fraction, text: _write(f"{fraction:4.0%}  {text}", final=False),
    )
    _write(str(folder), final=True)
    return 0


def _job(options: argparse.Namespace) -> int:
    from training_core.jobs.command import serve
    from training_core.policies.models_dir import default_models_dir

    def folders() -> Iterator[Path]:
        yield from options.folders
        if options.stay:
            yield from (Path(line.strip()) for line in sys.stdin if line.strip())

    return serve(folders(), models_dir=options.models or default_models_dir(), threads=options.threads)


def _methods(options: argparse.Namespace) -> int:
    from training_core.methods.registry import all_methods

    for method in all_methods():
        presets = ", ".join(preset.slug for preset in method.presets)
        sys.stdout.write(f"{method.slug}: {method.title}. {method.summary} Presets: {presets}.\n")
    return 0


def _bench(options: argparse.Namespace) -> int:
    from training_core.bench.command import run
    from training_core.failures import PERSON_CAN_FIX, failure_of

    try:
        run(
            source=options.model,
            engine=options.engine,
            batch=options.batch,
            max_tokens=options.tokens,
            threads=options.threads,
            device=options.device,
            repeats=options.repeats,
            steps=options.steps,
            models_dir=options.models,
            json_file=options.json,
        )
    except ValueError as error:
        kind, sentence = failure_of(error)
        if kind not in PERSON_CAN_FIX:
            raise
        _write(sentence, final=True)
        return EXIT_PERSON_CAN_FIX
    return 0


def _count(text: str) -> int:
    """A whole number from 1, as an argument's type."""
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


class ProgressLine:
    """What a person at a terminal sees: one line that is redrawn, or a line now and then where there is no terminal."""

    def __init__(self, spec: ExperimentSpec) -> None:
        self._spec = spec
        self._latest: dict[str, float] = {}
        self.failure: str | None = None

    def show(self, event: dict[str, Any]) -> None:
        data = event["data"]
        match event["kind"]:
            case EventKind.STATE:
                self.failure = data["failure"]
                done = "" if data["fraction"] is None else f"{data['fraction']:.0%} "
                _write(f"{data['phase']}: {done}{data['text']}", final=data["fraction"] in {None, 1.0})
                if data["traceback"]:
                    _write(data["traceback"], final=True)
            case EventKind.METRIC:
                self._latest |= data["values"]
                step, total = event["step"], self._spec.steps
                shown = {
                    "sampled": "eval/accuracy_sampled",
                    "greedy": "eval/accuracy_greedy",
                    "solver reward": "reward/solver",
                    "judge AUC": "judge/auc",
                }
                figures = "  ".join(f"{k} {self._latest[m]:.3f}" for k, m in shown.items() if m in self._latest)
                if sys.stderr.isatty() or "eval/accuracy_sampled" in data["values"]:
                    _write(f"step {step}/{total}  {figures}", final=not sys.stderr.isatty())
            case EventKind.LOG:
                _write(f"{data['level']}: {data['text']}", final=True)

    def close(self) -> None:
        sys.stderr.write("\n" if sys.stderr.isatty() else "")


def _write(text: str, *, final: bool) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}" + ("\n" if final else ""))
    else:
        sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training_core", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="carry out a spec")
    run.add_argument("spec", type=Path, help="spec as YAML or JSON")
    run.add_argument("--dir", type=Path, required=True, help="folder of the run: events, checkpoints, control")
    run.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in the folder")
    run.add_argument("--models", type=Path, help="where made models are cached (KUMITE_MODELS_DIR)")
    run.add_argument("--host-rank", type=int, default=0, help="this host among the hosts of the run, counted from 0")
    run.add_argument(
        "--rendezvous", metavar="HOST:PORT", help="where several hosts meet: the host of rank 0, a free port"
    )
    run.set_defaults(command=_run)

    validate = commands.add_parser("validate", help="check a spec and print it with every default")
    validate.add_argument("spec", type=Path)
    validate.set_defaults(command=_validate)

    starter = commands.add_parser("starter", help="make the starter model, or find it made")
    starter.add_argument("--curriculum", choices=curriculum_names(), default="evolve", help="what it is taught")
    starter.add_argument("--task", choices=[*TASKS], help="default is the curriculum's first")
    starter.add_argument("--models", type=Path, help="where made models are cached (KUMITE_MODELS_DIR)")
    starter.set_defaults(command=_starter)

    bench = commands.add_parser(
        "bench", help="measure this machine, the engine and the learner, and where a step's time goes"
    )
    bench.add_argument("--model", help="a folder, a hub id, starter or starter:strings; default is the starter")
    bench.add_argument("--engine", choices=("transformers", "vllm"), default="transformers")
    bench.add_argument("--batch", type=_count, help="completions sampled and learnt together, 8 to a prompt")
    bench.add_argument("--tokens", type=_count, help="longest completion")
    bench.add_argument("--threads", type=_count, default=1, help="CPU threads")
    bench.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    bench.add_argument("--repeats", type=_count, default=3, help="the fastest of so many repetitions counts")
    bench.add_argument("--steps", type=int, default=2, help="whole self-play steps for the breakdown; 0 leaves it out")
    bench.add_argument("--models", type=Path, help="where made models are cached (KUMITE_MODELS_DIR)")
    bench.add_argument("--json", type=Path, help="write all figures to this file as well")
    bench.set_defaults(command=_bench)

    job = commands.add_parser("job", help="carry out jobs: say, match, rejudge, export")
    job.add_argument("folders", type=Path, nargs="*", help="folders that hold a job.json each")
    job.add_argument("--stay", action="store_true", help="go on with the folders named on stdin, a line each")
    job.add_argument("--threads", type=_count, default=1, help="CPU threads")
    job.add_argument("--models", type=Path, help="where made models are cached (KUMITE_MODELS_DIR)")
    job.set_defaults(command=_job)

    methods = commands.add_parser("methods", help="list methods and presets")
    methods.set_defaults(command=_methods)
    return parser


if __name__ == "__main__":
    sys.exit(main())
