"""Home lies open all day: its live part travels packed, and not at all while nothing moves."""

from collections.abc import Callable

from django.test import Client
from django.urls import reverse

from tests.factories import mae_events, tell
from webapp.accounts.models import User
from webapp.experiments.models import Run


def test_home_is_sent_packed_and_only_when_something_moved(run_in: Callable[..., Run], ada: User) -> None:
    run = run_in("running")
    tell(run, mae_events(12))
    client = Client(headers={"HX-Request": "true", "Accept-Encoding": "gzip"})
    client.force_login(ada)
    answer = client.get(reverse("home"))
    assert answer["Content-Encoding"] == "gzip"
    assert len(answer.content) < 5000  # every five seconds: less than a kilobyte a second
    assert client.get(reverse("home"), {"mark": answer.context["mark"]}).status_code == 204
