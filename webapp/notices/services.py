"""Telling people. What is told is written in the transaction of what happened; sending comes after, and again until it worked."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http import Http404
from django.utils import timezone

from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.notices import sending
from webapp.notices.choices import ChannelKind, DeliveryStatus, NoticeKind, Scope
from webapp.notices.models import Channel, Delivery, Notice
from webapp.workspaces.models import Workspace

MAX_TRIES = 8
FIRST_WAIT_S = 30.0
"""Before the second try; each further one waits three times as long, the last about nine hours."""
MAX_CHANNELS = 10
CARRIED = [kind for kind in NoticeKind if kind != NoticeKind.TEST]
"""Kinds a channel can be asked to carry."""


@dataclass(frozen=True, kw_only=True)
class News:
    """Something to tell: ``News(kind="failed", key="run:<id>:7", title="First run, run 2, has failed", text="…", url="/runs/…/")``."""

    kind: NoticeKind
    key: str
    """What it is about; nobody is told the same thing twice."""
    title: str
    text: str
    url: str
    run: Run | None = None


def tell(users: Iterable[User], news: News) -> int:
    """Tell people; returns how many did not know. Call it inside the transaction of what happened."""
    return sum(_tell_one(user, news, is_listed=True) for user in set(users))


def tell_about_run(run: Run, news: News, *, by: User | None) -> int:
    """Tell whoever started the run, and those whose channels want all runs of its workspace; never the one who did it."""
    if run.experiment.is_rehearsal or run.experiment.is_example:  # whoever asked for it is looking at it
        return 0
    owner = run.created_by
    told = _tell_one(owner, news, is_listed=True) if owner is not None and owner != by else 0
    wide = Channel.objects.filter(scope=Scope.WORKSPACES, kinds__contains=[news.kind])
    members = User.objects.filter(memberships__workspace=run.experiment.workspace, channels__in=wide).distinct()
    return told + sum(_tell_one(member, news, is_listed=False) for member in members if member not in {owner, by})


def _tell_one(user: User, news: News, *, is_listed: bool) -> int:
    notice, is_new = Notice.objects.get_or_create(
        user=user,
        key=news.key[:120],
        defaults={
            "kind": news.kind,
            "title": news.title[:200],
            "text": news.text[:500],
            "url": news.url,
            "run": news.run,
            "is_listed": is_listed,
        },
    )
    if not is_new:
        return 0
    wanted = Q(kinds__contains=[news.kind]) if is_listed else Q(kinds__contains=[news.kind], scope=Scope.WORKSPACES)
    Delivery.objects.bulk_create(
        Delivery(notice=notice, channel=channel) for channel in Channel.objects.filter(wanted, user=user)
    )
    return 1


@transaction.atomic(durable=True)
def mark_read(*, user: User, up_to: int) -> None:
    """Everything in the person's list up to this notice has been read."""
    Notice.objects.filter(user=user, pk__lte=up_to, read_at__isnull=True).update(read_at=timezone.now())


@transaction.atomic(durable=True)
def add_channel(*, user: User, kind: str, address: str, kinds: Sequence[str], scope: str) -> Channel:
    """Another way to reach the person, and a trial message through it."""
    address, wanted = address.strip(), sorted(set(kinds) & set(CARRIED))
    if scope not in Scope.values:
        raise ValueError(f"{scope!r} is no scope. Choose one of {', '.join(Scope.values)}.")
    if not wanted:
        raise ValueError(f"Choose at least one of {', '.join(CARRIED)}, or nothing would ever be sent.")
    if user.channels.count() >= MAX_CHANNELS:
        raise ValueError(f"You have {MAX_CHANNELS} channels, which is the most. Remove one first.")
    _check_address(kind, address)
    secret = secrets.token_hex(24) if kind == ChannelKind.WEBHOOK else ""
    try:
        with transaction.atomic():
            channel = Channel.objects.create(
                user=user, kind=kind, address=address, kinds=wanted, scope=scope, secret=secret
            )
    except IntegrityError:
        raise ValueError(f"You have a channel to {address} already. Remove it first to change it.") from None
    trial = Notice.objects.create(
        user=user,
        kind=NoticeKind.TEST,
        key=f"test:{channel.pk}",
        title="This channel works",
        text="You will hear here of what you chose on your page of notices.",
        url="/notices/",
        is_listed=False,
    )
    Delivery.objects.create(notice=trial, channel=channel)
    return channel


def _check_address(kind: str, address: str) -> None:
    if kind == ChannelKind.EMAIL:
        if not settings.EMAIL_HOST:
            raise ValueError("This installation sends no e-mail: KUMITE_EMAIL_URL is not set. Ask an operator.")
        try:
            validate_email(address)
        except ValidationError:
            raise ValueError(f"{address!r} is no e-mail address.") from None
    elif kind == ChannelKind.WEBHOOK:
        sending.check_webhook(address)
    else:
        raise ValueError(f"{kind!r} is no kind of channel. Choose one of {', '.join(ChannelKind.values)}.")


@transaction.atomic(durable=True)
def remove_channel(*, user: User, channel_id: int) -> None:
    """Nothing more is sent there; what was on its way is dropped."""
    removed, _ = Channel.objects.filter(user=user, pk=channel_id).delete()
    if not removed:
        raise Http404("You have no such channel.")


def deliver_due(limit: int = 50) -> int:
    """Send what is due, one transaction each; returns how many were sent. Several processes may do so at once.

    A row is locked while it is sent, so a process that dies sends it again: a receiver may see a message twice, with the same
    number, and never misses one.
    """
    num_sent = 0
    for _ in range(limit):
        with transaction.atomic():
            due = Delivery.objects.filter(status=DeliveryStatus.DUE, next_at__lte=timezone.now())
            delivery = (
                due.select_related("notice__run", "channel__user")
                .select_for_update(of=("self",), skip_locked=True)
                .order_by("next_at", "pk")
                .first()
            )
            if delivery is None:
                return num_sent
            num_sent += _try(delivery)
    return num_sent


def _try(delivery: Delivery) -> bool:
    channel, now = delivery.channel, timezone.now()
    delivery.num_tries += 1
    if not _may_still_know(delivery):
        delivery.status = DeliveryStatus.GIVEN_UP
        delivery.save(update_fields=["num_tries", "status"])
        return False
    try:
        sending.send(delivery)
    except sending.NotSent as error:
        if delivery.num_tries >= MAX_TRIES:
            delivery.status = DeliveryStatus.GIVEN_UP
        delivery.next_at = now + timedelta(seconds=FIRST_WAIT_S * 3.0 ** (delivery.num_tries - 1))
        channel.last_error = str(error)[:300]
    else:
        delivery.status, delivery.sent_at, channel.last_error = DeliveryStatus.SENT, now, ""
    delivery.save(update_fields=["num_tries", "status", "next_at", "sent_at"])
    channel.save(update_fields=["last_error"])
    return delivery.status == DeliveryStatus.SENT


def _may_still_know(delivery: Delivery) -> bool:
    """Whoever has left a workspace since is told nothing more of it."""
    run, user = delivery.notice.run, delivery.channel.user
    if not user.is_active:
        return False
    return run is None or Workspace.objects.visible_to(user).filter(experiments__runs=run).exists()
