"""Signs of life: ``/healthz/`` for load balancers, ``python -m webapp.health web|worker`` for container engines."""

import os
import sys
import urllib.request
from collections.abc import Sequence

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse


def healthz(request: HttpRequest) -> HttpResponse:
    """200 once the database answers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return HttpResponse("The database does not answer.\n", status=503, content_type="text/plain")
    return HttpResponse("ok\n", content_type="text/plain")


def web_answers(address: str = "http://127.0.0.1:8000") -> bool:
    try:
        with urllib.request.urlopen(f"{address}/healthz/", timeout=5) as response:  # noqa: S310  -- our own address
            return bool(response.status == 200)
    except OSError:
        return False


def worker_beats() -> bool:
    """Whether a worker of this host gave a sign of life while a lease lasts."""
    from webapp.fleet.models import Worker
    from webapp.fleet.processes import this_machine

    return Worker.objects.living().filter(host=this_machine().host).exists()


def main(arguments: Sequence[str]) -> int:
    if list(arguments) == ["web"]:
        return 0 if web_answers() else 1
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    import django

    django.setup()
    return 0 if worker_beats() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
