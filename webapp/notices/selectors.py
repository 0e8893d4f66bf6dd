"""What a person is told; nobody sees anybody else's."""

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.notices.models import AlertRule, Channel, Notice
from webapp.telemetry.models import RunSummary

MAX_NEWS = 5


def notices_of(user: User) -> QuerySet[Notice]:
    """The person's own list, newest first."""
    return Notice.objects.filter(user=user, is_listed=True).order_by("-pk")


def unread_count(user: User | AnonymousUser) -> int:
    return notices_of(user).filter(read_at__isnull=True).count() if isinstance(user, User) else 0


def news_after(user: User, after: int) -> list[Notice]:
    """The newest unread notices that came after the one numbered ``after``, oldest first."""
    fresh = notices_of(user).filter(pk__gt=after, read_at__isnull=True)[:MAX_NEWS]
    return list(reversed(fresh))


def rules_of(user: User) -> QuerySet[AlertRule]:
    return AlertRule.objects.filter(user=user).select_related("run__experiment").order_by("metric", "pk")


def known_metrics(user: User) -> list[str]:
    """Names that the newest runs of the person's workspaces have told, to choose from."""
    newest = Run.objects.visible_to(user).order_by("-created_at").values("pk")[:20]
    told = RunSummary.objects.filter(run__in=newest).values_list("metrics", flat=True)
    return sorted({name for metrics in told for name in metrics})


def channels_of(user: User) -> QuerySet[Channel]:
    return Channel.objects.filter(user=user).order_by("pk")
