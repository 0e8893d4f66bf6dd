"""How the command line fails: one sentence on stderr and an exit code that scripts can tell apart."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    """The run failed, or the server could not do it."""
    WRONG_INPUT = 2
    """Wrong arguments, or a spec that cannot be used."""
    NOT_ALLOWED = 3
    """Not signed in, or not allowed."""
    NOT_FOUND = 4
    UNREACHABLE = 5
    """No server answers at the address."""
    INTERRUPTED = 130


class CliError(Exception):
    """Ends the command with a sentence."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code
