"""What is printed. Text of models and people is cleaned first: a terminal obeys control characters."""

import json
import sys
import unicodedata
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Into a file or a pipe, tables are as wide as they need to be.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 400)
err = Console(stderr=True, highlight=False)

STATUS_STYLES = {
    "running": "green",
    "succeeded": "bold green",
    "failed": "bold red",
    "timed_out": "red",
    "cancelled": "dim",
    "paused": "yellow",
    "pausing": "yellow",
    "cancelling": "yellow",
}


def clean(text: object) -> str:
    """The text without characters that move the cursor, change colours or reverse reading order."""
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cf", "Cs"} else "�" for char in str(text)
    )


def say(text: object, *, style: str = "") -> None:
    """Print text as it is, never as markup."""
    out.print(Text(clean(text), style=style), soft_wrap=True)


def say_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def table(*columns: str) -> Table:
    made = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        made.add_column(column, justify="right" if column in {"step", "value", "reward", "seed"} else "left")
    return made


def cells(*values: object) -> list[Text]:
    """One row for a table, every value cleaned."""
    return [Text("" if value is None else clean(value)) for value in values]


def status_text(status: str) -> Text:
    return Text(clean(status).replace("_", " "), style=STATUS_STYLES.get(status, ""))


def ago(iso: str | None) -> str:
    """``"2026-11-22T16:00:00Z"`` as ``"4 min ago"``."""
    if not iso:
        return ""
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(iso)).total_seconds())
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{max(seconds, 0)} s ago"
