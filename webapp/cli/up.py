"""``kumite up``, ``demo``, ``down`` and ``status``: everything on one machine, in one foreground process."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from webapp.embedded import EmbeddedPostgres, EmbeddedRedis, EmbeddedServerError
from webapp.supervisor.lock import AlreadyRunning, Holder, SupervisorLock
from webapp.supervisor.progress import Progress
from webapp.supervisor.supervisor import StopRequested, Supervisor, free_port

if TYPE_CHECKING:
    from webapp.experiments.models import Run

DEFAULT_PORT = 8000
_DOWN_LIMIT_S = 120.0


def _var_dir() -> Path:
    from django.conf import settings

    return Path(settings.VAR_DIR).absolute()


def up(*, demo: bool = False, host: str = "127.0.0.1", port: int | None = None) -> int:
    """Start everything and stay until Ctrl-C; with ``demo`` also teach the starter and let it play."""
    started = time.monotonic()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    progress = Progress()
    try:
        with _claimed(_var_dir()) as lock:
            return _supervise(lock, progress, demo=demo, host=host, port=port, started=started)
    except AlreadyRunning as error:
        progress.say(str(error))
        return login_link() if error.holder and error.holder.address else 1
    except EmbeddedServerError as error:
        progress.say(f"\n{error}")
        return 1
    except StopRequested:
        progress.say("Kumite is down.")
        return 0


@contextmanager
def _claimed(var_dir: Path) -> Iterator[SupervisorLock]:
    lock = SupervisorLock(var_dir).acquire()
    try:
        yield lock
    finally:
        lock.release()


def _supervise(
    lock: SupervisorLock, progress: Progress, *, demo: bool, host: str, port: int | None, started: float
) -> int:
    import django
    from django.conf import settings

    progress.say("Kumite is starting. Ctrl-C stops everything.")
    with Supervisor(base_dir=settings.BASE_DIR, var_dir=_var_dir(), progress=progress) as site:
        site.start_servers(
            own_postgres=not _is_given("DATABASE_URL"),
            own_redis=not _is_given("REDIS_URL"),
        )
        with progress.stage("Loading the application"):
            django.setup()
        from webapp.supervisor import prepare

        with progress.stage("Bringing the tables up to date"):
            prepare.migrate()
        with progress.stage("Collecting static files"):
            prepare.collect_static()
        user = prepare.first_account(site.var_dir)
        workspace = prepare.first_workspace(user)
        address = site.start_children(host=host, port=port or free_port(host, DEFAULT_PORT))
        lock.note(Holder(pid=os.getpid(), address=address))
        run = None
        if demo:
            from webapp.supervisor.demo import make_starter, start_demo

            _invite(progress, address, started=started)
            with progress.stage("Teaching the starter model (once on this machine, about two minutes)"):
                make_starter(progress, cwd=settings.BASE_DIR)
            run = start_demo(user=user, workspace=workspace)
        _invite(progress, address, started=started, run=run)
        if run:
            _wait_for_first_rewards(site, run, started=started)
        site.watch()
    return 0


def _is_given(name: str) -> bool:
    return bool(os.environ.get(name) or os.environ.get(f"{name}_FILE"))


def _invite(progress: Progress, address: str, *, started: float, run: "Run | None" = None) -> None:
    """The address, with a link that signs the operator in once within ten minutes."""
    from django.urls import reverse

    link = address + _sign_in_path()
    if run:
        link += f"?next={reverse('run', args=[run.pk])}"
    progress.say(f"""
  Kumite is open after {time.monotonic() - started:.0f} s:

      {link}

  The link signs you in once, within ten minutes. Later: {address}
  with the e-mail and password in {_var_dir() / "first-account.txt"}
  Ctrl-C stops everything; 'kumite status' tells how things are.
""")


def login_link() -> int:
    """A new link that signs the operator in once, for whoever can run commands on this machine."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    holder = SupervisorLock(_var_dir()).holder()
    if holder is None or not holder.address:
        sys.stdout.write("Kumite does not run here. Start it with 'make up' or 'make demo'.\n")
        return 3
    import django

    django.setup()
    sys.stdout.write(f"{holder.address}{_sign_in_path()}\n")
    return 0


def _sign_in_path() -> str:
    from django.urls import reverse

    from webapp.accounts.services import create_sign_in_link
    from webapp.supervisor.prepare import first_account

    return reverse("sign_in_link", args=[create_sign_in_link(first_account(_var_dir()))])


def _wait_for_first_rewards(site: Supervisor, run: "Run", *, started: float) -> None:
    def has_rewards_or_ended() -> bool:
        from django.db import OperationalError

        try:
            run.refresh_from_db()
        except OperationalError:  # Postgres is being restarted; the next look tells
            return False
        site.progress.detail(run.phase_text or run.get_status_display().lower())
        return run.last_step > 0 or run.is_terminal

    with site.progress.stage("Waiting for the first rewards"):
        site.watch(until=has_rewards_or_ended)
    if run.last_step > 0:
        site.progress.say(f"The first rewards are on the page, {time.monotonic() - started:.0f} s after the start.")
    else:
        site.progress.say(f"The run is {run.get_status_display().lower()}. {run.failure_text}".rstrip())


def down() -> int:
    """Ask the one that runs here to stop, and wait for it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    lock = SupervisorLock(_var_dir())
    holder = lock.holder()
    if holder is None:
        return _down_leftovers()
    progress = Progress()
    with progress.stage(f"Stopping Kumite (process {holder.pid})"):
        deadline = time.monotonic() + _DOWN_LIMIT_S
        if holder.pid:
            os.kill(holder.pid, signal.SIGTERM)
        while lock.holder() is not None:
            if time.monotonic() > deadline:
                progress.say(f"It still runs after {_DOWN_LIMIT_S:.0f} s; end it with kill -9 {holder.pid}.")
                return 1
            time.sleep(0.2)
    return 0


def _down_leftovers() -> int:
    """Servers that outlived a killed supervisor on systems where the kernel does not end them."""
    stopped = False
    for server in (EmbeddedRedis(_var_dir()), EmbeddedPostgres(_var_dir())):
        if server.running():
            server.stop()
            stopped = True
    sys.stdout.write("Stopped what was left of Kumite.\n" if stopped else "Kumite does not run here.\n")
    return 0


def status() -> int:
    """What runs here; the exit code is 0 when the site is up and 3 when it is not."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    holder = SupervisorLock(_var_dir()).holder()
    if holder is None:
        sys.stdout.write("Kumite does not run here. Start it with 'make up' or 'make demo'.\n")
        return 3
    lines = [
        f"Kumite runs (process {holder.pid})" + (f" at {holder.address}" if holder.address else ", still starting")
    ]
    for name, server in (("Postgres", EmbeddedPostgres(_var_dir())), ("Redis", EmbeddedRedis(_var_dir()))):
        process = server.running()
        lines.append(f"  {name:9} " + (f"process {process.pid}" if process else "not here"))
    if holder.address:
        lines += _work_lines()
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _work_lines() -> list[str]:
    import django

    django.setup()
    from webapp.experiments.choices import HELD, RunStatus
    from webapp.experiments.models import Run
    from webapp.fleet.models import Worker

    lines = [f"  worker    {worker.name}" for worker in Worker.objects.filter(stopped_at=None).order_by("name")]
    queued = Run.objects.filter(status=RunStatus.QUEUED).count()
    lines.append(f"  runs      {Run.objects.filter(status__in=HELD).count()} at work, {queued} waiting")
    return lines
