"""The run page's socket against real Postgres and Redis."""

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.sessions.models import Session
from redis.asyncio import Redis

from tests.factories import mae_events, metric_events, next_attempt, tell
from tests.live.conftest import PATIENCE_S, Page, socket, subscribed
from webapp.accounts.models import User
from webapp.experiments import doorbell
from webapp.experiments.models import Run
from webapp.experiments.services import create_share_link, request_pause, revoke_share_link
from webapp.live import feed
from webapp.live.consumers import MAX_MESSAGES, LiveConsumer
from webapp.telemetry.models import Event

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[User], str]

in_database = database_sync_to_async


def stored(run: Run) -> list[tuple[int, int]]:
    return list(Event.objects.filter(run=run).order_by("seq").values_list("seq", "attempt"))


def held(page: Page) -> list[tuple[int, int]]:
    return [(event["seq"], event["attempt"]) for event in page.events]


async def test_hello_says_where_the_run_stands_and_the_replay_follows(run: Run, ada: User, sign_in: SignIn) -> None:
    await in_database(tell)(run, mae_events(3))
    page = Page(run)
    async with socket(page.path, session=await in_database(sign_in)(ada)) as opened:
        assert await opened.connect()
        hello = await opened.hear()
        assert hello["type"] == "hello"
        assert hello["state"]["last_seq"] == run.last_seq
        assert hello["state"]["label"] == "Running"
        await page.follow(opened, until=run.last_seq)
    assert held(page) == await in_database(stored)(run)


async def test_events_written_while_watching_arrive_in_order(run: Run, ada: User, sign_in: SignIn) -> None:
    page = Page(run)
    async with socket(page.path, session=await in_database(sign_in)(ada)) as opened:
        await opened.connect()
        for first in (1, 4, 9):
            await in_database(tell)(run, metric_events(3 if first == 1 else 5, first=first))
        await page.follow(opened, until=13)
    assert [event["data"]["values"] for event in page.events[:2]] == [{"reward/solver": 0.1}, {"reward/solver": 0.2}]


async def test_a_sample_travels_as_a_row_without_its_texts(run: Run, ada: User, sign_in: SignIn) -> None:
    await in_database(tell)(run, mae_events(1))
    page = Page(run)
    async with socket(page.path, session=await in_database(sign_in)(ada)) as opened:
        await opened.connect()
        await page.follow(opened, until=run.last_seq)
    row = next(event["data"] for event in page.events if event["kind"] == "sample")
    assert row["title"].startswith("What is ")
    assert [tally["role"] for tally in row["roles"]] == ["proposer", "solver", "judge"]
    assert "<think>" not in json.dumps(page.events)


async def test_reconnect_brings_only_what_was_missed(run: Run, ada: User, sign_in: SignIn) -> None:
    session = await in_database(sign_in)(ada)
    await in_database(tell)(run, metric_events(10))
    page = Page(run)
    async with socket(page.path, session=session) as opened:
        await opened.connect()
        await page.follow(opened, until=10)
    await in_database(tell)(run, metric_events(10, first=11))
    async with socket(page.path, session=session) as opened:
        await opened.connect()
        await page.follow(opened, until=20)
    assert held(page) == await in_database(stored)(run)


async def test_a_later_attempt_that_rewrites_events_resets_the_page(run: Run, ada: User, sign_in: SignIn) -> None:
    await in_database(tell)(run, metric_events(20))
    page = Page(run)
    async with socket(page.path, session=await in_database(sign_in)(ada)) as opened:
        await opened.connect()
        await page.follow(opened, until=20)
        await in_database(next_attempt)(run)
        await in_database(tell)(run, metric_events(4, first=8))
        async with asyncio.timeout(PATIENCE_S):
            while page.num_resets == 0:
                page.take(await opened.hear())
        assert page.after == 7
        await page.follow(opened, until=11)
    assert held(page) == await in_database(stored)(run)


async def test_a_page_that_was_away_during_the_rewriting_is_reset_at_its_return(
    run: Run, ada: User, sign_in: SignIn
) -> None:
    session = await in_database(sign_in)(ada)
    await in_database(tell)(run, metric_events(20))
    page = Page(run)
    async with socket(page.path, session=session) as opened:
        await opened.connect()
        await page.follow(opened, until=20)
    for first in (15, 9, 12):
        await in_database(next_attempt)(run)
        await in_database(tell)(run, metric_events(9, first=first))
    async with socket(page.path, session=session) as opened:
        await opened.connect()
        async with asyncio.timeout(PATIENCE_S):
            while held(page) != await in_database(stored)(run):
                page.take(await opened.hear())
    assert page.num_resets == 1


async def test_a_change_of_state_is_told_without_any_event(run: Run, ada: User, sign_in: SignIn) -> None:
    page = Page(run)
    async with socket(page.path, session=await in_database(sign_in)(ada)) as opened:
        await opened.connect()
        await opened.hear()
        await in_database(request_pause)(actor=ada, run_id=run.pk)
        async with asyncio.timeout(PATIENCE_S):
            while page.state.get("status") != "pausing":
                page.take(await opened.hear())
    assert page.state["actions"] == ["stop"]


async def test_a_lost_wake_up_is_made_good_by_looking(
    run: Run, ada: User, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "publish", lambda *_: None)
    monkeypatch.setattr(feed, "POLL_S", 1.0)
    page = Page(run)
    async with socket(page.path, session=await in_database(sign_in)(ada)) as opened:
        await opened.connect()
        await opened.hear()
        await in_database(tell)(run, metric_events(5))
        await page.follow(opened, until=5)


async def test_the_subscription_comes_back_after_redis_dropped_it(
    run: Run, ada: User, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "POLL_S", 600.0)
    page = Page(run)
    async with socket(page.path, session=await in_database(sign_in)(ada)) as opened:
        await opened.connect()
        await in_database(tell)(run, metric_events(2))
        await page.follow(opened, until=2)
        async with Redis.from_url(settings.REDIS_URL) as redis:
            await redis.client_kill_filter(_type="pubsub")
        await in_database(tell)(run, metric_events(2, first=3))
        await page.follow(opened, until=4)
        await subscribed()
        await in_database(tell)(run, metric_events(2, first=5))
        await page.follow(opened, until=6)


async def test_a_burst_of_5000_events_arrives_complete_and_in_order(run: Run, ada: User, sign_in: SignIn) -> None:
    page = Page(run)
    async with socket(page.path, session=await in_database(sign_in)(ada)) as opened:
        await opened.connect()
        await in_database(tell)(run, metric_events(5000))
        await page.follow(opened, until=5000)
    assert len(page.events) == 5000


async def test_after_20_random_disconnects_the_page_equals_the_database(run: Run, ada: User, sign_in: SignIn) -> None:
    """Events keep coming, attempts rewrite some of them, and the page loses its socket at random moments."""
    rng, session = random.Random(7), await in_database(sign_in)(ada)
    done = asyncio.Event()

    async def write() -> None:
        first = 1
        for batch in range(60):
            if batch in {20, 41}:
                await in_database(next_attempt)(run)
                first -= 25
            await in_database(tell)(run, metric_events(10, first=first))
            first += 10
            await asyncio.sleep(0.05)
        done.set()

    async def watch(page: Page, seconds: float) -> None:
        async with socket(page.path, session=session) as opened:
            await opened.connect()
            try:
                async with asyncio.timeout(seconds):
                    while True:
                        page.take(await opened.hear())
            except TimeoutError:
                return

    writer, page = asyncio.create_task(write()), Page(run)
    for _ in range(20):
        await watch(page, rng.uniform(0.02, 0.4))
        await asyncio.sleep(rng.uniform(0, 0.05))
    await writer
    assert done.is_set()
    async with socket(page.path, session=session) as opened, asyncio.timeout(PATIENCE_S):
        await opened.connect()
        while held(page) != await in_database(stored)(run):
            page.take(await opened.hear())


async def test_twenty_viewers_at_the_same_place_share_one_reading(
    run: Run, ada: User, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    read = feed.next_batch
    monkeypatch.setattr(feed, "next_batch", lambda *args: asked.append(args) or read(*args))
    session, pages = await in_database(sign_in)(ada), [Page(run) for _ in range(20)]
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(socket(page.path, session=session)) for page in pages]
        for one in opened:
            assert await one.connect()
            assert (await one.hear())["type"] == "hello"
        asked.clear()
        for last in (10, 20, 30):
            await in_database(tell)(run, metric_events(10, first=last - 9))
            await asyncio.gather(*(page.follow(one, until=last) for page, one in zip(pages, opened, strict=True)))
    assert all(held(page) == held(pages[0]) for page in pages)
    assert len(asked) < 20


@pytest.mark.parametrize(("who", "code"), [("ada", None), ("ben", None), ("cyn", 4404), ("anonymous", 4401)], ids=str)
async def test_who_may_watch(
    who: str, code: int | None, run: Run, ada: User, ben: User, cyn: User, sign_in: SignIn
) -> None:
    people = {"ada": ada, "ben": ben, "cyn": cyn}
    session = await in_database(sign_in)(people[who]) if who in people else ""
    async with socket(Page(run).path, session=session) as opened:
        await opened.connect()
        first = await opened.receive_output(PATIENCE_S)
    assert first.get("code") == code
    assert (code is None) == (first["type"] == "websocket.send")


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost.evil.example", "null", None])
async def test_a_foreign_origin_is_refused_before_anything_else(
    origin: str | None, run: Run, ada: User, sign_in: SignIn
) -> None:
    async with socket(Page(run).path, session=await in_database(sign_in)(ada), origin=origin) as opened:
        assert await opened.connect() is False


@pytest.mark.parametrize("query", ["after=x", "after=-1", "after=1&attempt=99999", "after=99999999999999999999"])
async def test_a_position_that_makes_no_sense_is_refused(query: str, run: Run, ada: User, sign_in: SignIn) -> None:
    path = f"/ws/runs/{run.pk}/?{query}"
    async with socket(path, session=await in_database(sign_in)(ada)) as opened:
        await opened.connect()
        assert await opened.closed_with() == 4404


async def test_signing_out_closes_open_sockets_at_once(run: Run, ada: User, sign_in: SignIn) -> None:
    session = await in_database(sign_in)(ada)
    async with socket(Page(run).path, session=session) as opened:
        await opened.connect()
        await opened.hear()
        await subscribed()
        await in_database(_sign_out)(session)
        assert await opened.closed_with() == 4401


def _sign_out(session: str) -> None:
    from django.test import Client

    client = Client()
    client.cookies["sessionid"] = session
    client.post("/accounts/logout/")
    assert not Session.objects.filter(session_key=session).exists()


async def test_whoever_leaves_the_workspace_loses_the_socket(run: Run, ben: User, sign_in: SignIn) -> None:
    async with socket(Page(run).path, session=await in_database(sign_in)(ben)) as opened:
        await opened.connect()
        await opened.hear()
        await subscribed()
        await in_database(ben.memberships.all().delete)()
        assert await opened.closed_with() == 4404


async def test_a_share_link_shows_the_run_until_it_is_taken_back(run: Run, ada: User) -> None:
    await in_database(tell)(run, metric_events(3))
    link, secret = await in_database(create_share_link)(actor=ada, run_id=run.pk)
    page = Page(run)
    async with socket(f"/ws/s/{secret}/?after=0&attempt=0") as opened:
        await opened.connect()
        await page.follow(opened, until=3)
        await in_database(revoke_share_link)(actor=ada, run_id=run.pk, link_id=link.pk)
        assert await opened.closed_with() == 4404


async def test_rights_are_looked_up_again_even_if_nobody_tells(
    run: Run, ben: User, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiveConsumer, "recheck_s", 0.3)
    monkeypatch.setattr("webapp.live.signals.tell_sockets", lambda: None)
    async with socket(Page(run).path, session=await in_database(sign_in)(ben)) as opened:
        await opened.connect()
        await opened.hear()
        await in_database(ben.memberships.all().delete)()
        assert await opened.closed_with() == 4404


async def test_an_unknown_share_link_is_not_found(run: Run) -> None:
    async with socket("/ws/s/nothing-here/?after=0&attempt=0") as opened:
        await opened.connect()
        assert await opened.closed_with() == 4404


async def test_a_viewer_that_talks_too_much_is_let_go(run: Run, ada: User, sign_in: SignIn) -> None:
    async with socket(Page(run).path, session=await in_database(sign_in)(ada)) as opened:
        await opened.connect()
        for _ in range(MAX_MESSAGES + 1):
            await opened.tell('{"type":"ping"}')
        assert await opened.closed_with() == 4429


async def test_a_long_message_is_refused(run: Run, ada: User, sign_in: SignIn) -> None:
    async with socket(Page(run).path, session=await in_database(sign_in)(ada)) as opened:
        await opened.connect()
        await opened.tell("x" * 5000)
        assert await opened.closed_with() == 4429


async def test_a_viewer_far_behind_is_sent_to_read_the_page_again(
    run: Run, ada: User, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.live.consumers.MAX_REPLAY", 10)
    await in_database(tell)(run, metric_events(11))
    async with socket(Page(run).path, session=await in_database(sign_in)(ada)) as opened:
        await opened.connect()
        assert await opened.closed_with() == 4408


async def test_a_viewer_that_does_not_read_is_let_go(
    run: Run, ada: User, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transport blocks in ``send`` while the viewer's buffer is full; nothing may pile up behind it."""
    monkeypatch.setattr(LiveConsumer, "send_timeout_s", 0.3)
    sent: list[int] = []

    async def stuck(self: LiveConsumer, text_data: str | None = None, **_: Any) -> None:
        sent.append(len(text_data or ""))
        await asyncio.sleep(60)

    monkeypatch.setattr(LiveConsumer, "send", stuck)
    async with socket(Page(run).path, session=await in_database(sign_in)(ada)) as opened:
        await opened.connect()
        await in_database(tell)(run, metric_events(500))
        assert await opened.closed_with() == 4408
    assert len(sent) == 1


async def test_whoever_watches_knows_how_many_do(run: Run, ada: User, sign_in: SignIn) -> None:
    session = await in_database(sign_in)(ada)
    await in_database(tell)(run, metric_events(1))
    one, other = Page(run), Page(run)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(socket(one.path, session=session))
        await first.connect()
        assert (await first.hear())["state"]["watching"] == 1
        second = await stack.enter_async_context(socket(other.path, session=session))
        await second.connect()
        assert (await second.hear())["state"]["watching"] == 2
        async with asyncio.timeout(PATIENCE_S):
            while one.state.get("watching") != 2:
                one.take(await first.hear())
