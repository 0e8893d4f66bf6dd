"""How commands are declared: their arguments here and in the modules beside, their work imported when one is called."""

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any

Command = Callable[[argparse.Namespace], int]
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


def positive(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value
