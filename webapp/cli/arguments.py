"""How commands are declared: their arguments here and in the modules beside, their work imported when one is called."""

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any

Command = Callable[[argparse.Namespace], int]
SHOW = ("all", "disagreement", "wrong", "right", "zero", "discarded", "kept", "rejected", "marked")
SAMPLE_KINDS = ("played", "question", "proposal", "game", "search", "practice")
ORDERS = ("newest", "oldest", "best", "worst", "spread")
WORKSPACE_HELP = "slug of the workspace; needed if you belong to several"


def command(commands: Any, name: str, help_text: str, call: Command) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(name, help=help_text, description=help_text)
    added.set_defaults(call=call, command=name)
    return added


def remote(name: str, module: str = "commands") -> Command:
    """The function of that name in a module beside this one, imported when it is called."""

    def call(arguments: argparse.Namespace) -> int:
        found: Command = getattr(import_module(f"webapp.cli.{module}"), name)
        return found(arguments)

    return call


def with_run(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("run", metavar="RUN", help="id, first characters of it, or 'last'")
    return parser


def with_filter(parser: argparse.ArgumentParser, *, words: bool = True) -> argparse.ArgumentParser:
    """Every way to narrow a list of samples, as the page offers them."""
    if words:
        parser.add_argument("--search", metavar="WORDS", default="", help='all of these words; "in quotes" together')
    parser.add_argument("--show", choices=SHOW, default="all", help="which ones (default: %(default)s)")
    parser.add_argument("--kind", choices=SAMPLE_KINDS, default="", help="what was played")
    parser.add_argument("--role", default="", help="only where this role speaks")
    parser.add_argument("--step", type=int, help="only of this step")
    parser.add_argument("--from-step", type=int, metavar="STEP", help="from this step on")
    parser.add_argument("--to-step", type=int, metavar="STEP", help="up to this step")
    parser.add_argument("--min-reward", type=float, metavar="REWARD", help="least mean reward")
    parser.add_argument("--max-reward", type=float, metavar="REWARD", help="highest mean reward")
    parser.add_argument("--group", default="", metavar="KEY", help="only of one question: a sample's group_key")
    return parser


def filter_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What ``with_filter`` read, as the API names it."""
    same = {name: getattr(arguments, name) for name in ("search", "show", "kind", "role", "step", "group")}
    ends = {"step_from": arguments.from_step, "step_to": arguments.to_step}
    return same | ends | {"reward_from": arguments.min_reward, "reward_to": arguments.max_reward}


def positive(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value
