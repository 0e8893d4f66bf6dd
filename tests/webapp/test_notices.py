"""Notices: who is told of what, once, and how it leaves the house."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.core import mail
from django.db import transaction
from django.utils import timezone

from tests.factories import make_experiment, make_run
from webapp.experiments.choices import RunStatus, TransitionActor
from webapp.experiments.services import request_cancel, transition
from webapp.notices.choices import DeliveryStatus
from webapp.notices.models import Delivery, Notice
from webapp.notices.services import add_channel, deliver_due
from webapp.workspaces.models import Membership

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(workspace, ada):
    return make_run(make_experiment(workspace, ada), "running")


def end(run, to=RunStatus.FAILED, **actor: Any):
    with transaction.atomic():
        transition(run, to, **{"actor_kind": TransitionActor.WORKER, **actor})


class _Hook(BaseHTTPRequestHandler):
    heard: list[tuple[dict[str, str], bytes]]
    answer = 200

    def do_POST(self) -> None:
        self.heard.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.answer)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hook(settings) -> Iterator[type[_Hook]]:
    settings.WEBHOOK_PRIVATE = True
    handler = type("Hook", (_Hook,), {"heard": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    handler.url = f"http://127.0.0.1:{server.server_port}/chat"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield handler
    server.shutdown()
    server.server_close()


def test_whoever_started_a_run_hears_how_it_ended_and_nobody_else_does(run, ada, ben, client):
    end(run)
    [notice] = Notice.objects.all()
    assert (notice.user, notice.kind, notice.title) == (ada, "failed", "First light, run 1, has failed")
    assert notice.url == f"/runs/{run.pk}/"
    client.force_login(ada)
    assert client.get("/notices/news/?after=0").json()["news"][0]["title"] == notice.title
    assert client.get(f"/notices/news/?after={notice.pk}").json() == {"unread": 1, "newest": notice.pk, "news": []}
    client.post("/notices/read/", {"up_to": notice.pk})
    assert client.get("/notices/news/").json()["unread"] == 0
    client.force_login(ben)
    assert client.get("/notices/news/").json() == {"unread": 0, "newest": 0, "news": []}
    client.post("/notices/read/", {"up_to": "x"})


def test_what_a_person_did_is_no_news_to_that_person(workspace, ada):
    run = make_run(make_experiment(workspace, ada), "queued")
    request_cancel(actor=ada, run_id=run.pk)
    assert not Notice.objects.exists()


def test_a_transition_that_is_rolled_back_tells_nobody(run):
    with pytest.raises(RuntimeError), transaction.atomic():
        transition(run, RunStatus.FAILED, actor_kind=TransitionActor.WORKER)
        raise RuntimeError
    assert not Notice.objects.exists()


def test_a_webhook_gets_a_signed_message_once(run, ada, hook):
    channel = add_channel(user=ada, kind="webhook", address=hook.url, kinds=["failed"], scope="mine")
    assert deliver_due() == 1  # the trial
    end(run)
    assert deliver_due() == 1
    assert deliver_due() == 0
    (headers, body) = hook.heard[1]
    signature = hmac.new(channel.secret.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Kumite-Signature"] == f"sha256={signature}"
    told = json.loads(body)
    assert told["kind"] == "failed"
    assert told["url"].endswith(f"/runs/{run.pk}/")
    assert headers["Host"] == hook.url.split("/")[2]


def test_a_message_that_was_refused_is_sent_again_later_and_at_last_given_up(run, ada, hook):
    hook.answer = 500
    channel = add_channel(user=ada, kind="webhook", address=hook.url, kinds=["failed"], scope="mine")
    for tries in range(1, 9):
        Delivery.objects.update(next_at=timezone.now())
        assert deliver_due() == 0
        assert deliver_due() == 0  # its time has not come
        assert Delivery.objects.get().num_tries == tries
    assert Delivery.objects.get().status == DeliveryStatus.GIVEN_UP
    channel.refresh_from_db()
    assert channel.last_error == "127.0.0.1 answered 500."


def test_a_channel_for_whole_workspaces_carries_the_runs_of_others_until_its_owner_leaves(run, ada, ben, hook):
    add_channel(user=ben, kind="webhook", address=hook.url, kinds=["failed"], scope="workspaces")
    deliver_due()
    end(run)
    assert Notice.objects.get(user=ben, kind="failed").is_listed is False
    Membership.objects.filter(user=ben).delete()
    assert deliver_due() == 0
    assert len(hook.heard) == 1


def test_an_e_mail_goes_out_where_there_is_a_server(run, ada, settings):
    with pytest.raises(ValueError, match="sends no e-mail"):
        add_channel(user=ada, kind="email", address="ada@example.org", kinds=["failed"], scope="mine")
    settings.EMAIL_HOST = "mail.example.org"
    with pytest.raises(ValueError, match="no e-mail address"):
        add_channel(user=ada, kind="email", address="ada", kinds=["failed"], scope="mine")
    add_channel(user=ada, kind="email", address="ada@example.org", kinds=["failed"], scope="mine")
    end(run)
    assert deliver_due() == 2
    assert mail.outbox[1].subject == "[Kumite] First light, run 1, has failed"
    assert f"/runs/{run.pk}/" in mail.outbox[1].body


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1/x", "http://[::1]/", "https://10.1.2.3/", "http://169.254.169.254/latest"]
)
def test_a_webhook_may_not_call_the_inside_of_the_network(ada, address):
    with pytest.raises(ValueError, match="inside this network"):
        add_channel(user=ada, kind="webhook", address=address, kinds=["failed"], scope="mine")


def test_a_wrong_channel_is_refused_with_a_sentence_and_what_was_typed_stays(ada, client):
    client.force_login(ada)
    answer = client.post(
        "/notices/channels/", {"kind": "webhook", "address": "ftp://x", "scope": "mine", "kinds": ["failed"]}
    )
    assert answer.status_code == 422
    assert "is no address of a webhook" in answer.content.decode()
    assert 'value="ftp://x"' in answer.content.decode()
    with pytest.raises(ValueError, match="at least one"):
        add_channel(user=ada, kind="webhook", address="https://example.org", kinds=[], scope="mine")
