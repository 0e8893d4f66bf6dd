"""Where the address and the token are kept: ``~/.config/kumite/config.json``, readable by its owner only."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from webapp.cli.errors import CliError, Exit

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Example: ``Config(url="http://127.0.0.1:8000", token="kmt_...")``."""

    url: str
    token: str


def config_path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "kumite" / "config.json"


def load_config() -> Config:
    """The stored sign-in; ``KUMITE_URL`` and ``KUMITE_TOKEN`` override it."""
    stored = _stored()
    url = os.environ.get("KUMITE_URL") or stored.get("url") or DEFAULT_URL
    token = os.environ.get("KUMITE_TOKEN") or stored.get("token") or ""
    if not token:
        raise CliError(
            "You are not signed in. Create a token on your account page, then: kumite login --url ADDRESS",
            Exit.NOT_ALLOWED,
        )
    return Config(url=url.rstrip("/"), token=token)


def save_config(config: Config) -> Path:
    """Write the sign-in so that no moment exists in which others could read it."""
    path = config_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(config), file)
    aside.replace(path)
    return path


def _stored() -> dict[str, str]:
    path = config_path()
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CliError(f"{path} cannot be read ({error}). Delete it and run kumite login again.") from error
    return stored if isinstance(stored, dict) else {}
