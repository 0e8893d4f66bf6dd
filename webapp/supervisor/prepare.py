"""What has to be true before the site opens: tables, static files, the first account and its workspace.

Each function may be interrupted anywhere and called again.
"""

import hashlib
import os
import secrets
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from webapp.accounts.models import User
from webapp.accounts.services import create_first_account
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import workspaces_for
from webapp.workspaces.services import create_workspace

FIRST_EMAIL = "admin@localhost"
_MIGRATION_LOCK = 0x6B756D697466  # any fixed number, the same in every process


def migrate() -> int:
    """Bring the tables up to date; two that start at once take turns. Returns how many migrations ran."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_MIGRATION_LOCK])
        try:
            executor = MigrationExecutor(connection)
            plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
            if plan:
                call_command("migrate", interactive=False, verbosity=0)
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_MIGRATION_LOCK])
    return len(plan)


def collect_static() -> None:
    """Copy static files to where they are served from, unless nothing changed since the last time."""
    stamp = Path(settings.STATIC_ROOT) / ".collected"
    state = _static_state()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == state:
        return
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(state, encoding="utf-8")


def _static_state() -> str:
    """Names, sizes and times of our own files, and the packages' versions by the age of their folder."""
    state = hashlib.sha256()
    for folder in map(Path, settings.STATICFILES_DIRS):
        for path in sorted(folder.rglob("*")):
            status = path.stat()
            state.update(f"{path}{status.st_size}{status.st_mtime_ns}".encode())
    import django

    state.update(django.__version__.encode())
    return state.hexdigest()


def first_account(var_dir: Path) -> User:
    """The operator's account; on a new installation made with a random password, kept in ``first-account.txt``."""
    if user := User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first():
        return user
    # The password is on disk before the account exists, so that a crash between the two locks nobody out.
    return create_first_account(email=FIRST_EMAIL, password=_first_password(var_dir / "first-account.txt"))


def _first_password(path: Path) -> str:
    if not path.exists():
        aside = path.with_suffix(f".{os.getpid()}")
        aside.touch(mode=0o600)
        aside.write_text(f"e-mail:   {FIRST_EMAIL}\npassword: {secrets.token_urlsafe(12)}\n", encoding="utf-8")
        aside.rename(path)
    return path.read_text(encoding="utf-8").split()[-1]


def first_workspace(user: User) -> Workspace:
    """The workspace in which the operator starts."""
    return workspaces_for(user).order_by("created_at").first() or create_workspace(name="Dojo", owner=user)
