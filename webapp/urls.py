"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path

from webapp.gauges import metrics
from webapp.health import healthz

urlpatterns = [
    path("healthz/", healthz, name="healthz"),
    path("metrics/", metrics, name="metrics"),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("accounts/", include("webapp.accounts.urls")),
    path("api/v1/", include("webapp.api.urls")),
    path("examples/", include("webapp.examples.urls")),
    path("fleet/", include("webapp.fleet.urls")),
    path("notices/", include("webapp.notices.urls")),
    path("", include("webapp.pages.urls")),
    path("arena/", include("webapp.arena.urls")),
    path("jobs/", include("webapp.jobs.urls")),
    path("", include("webapp.reports.urls")),
    path("library/", include("webapp.library.urls")),
    path("", include("webapp.workspaces.urls")),
    path("", include("webapp.compare.urls")),
    path("", include("webapp.experiments.urls")),
    path("", include("webapp.orders.urls")),
    path("", include("webapp.review.urls")),
    path("", include("webapp.exports.urls")),
    path("", include("webapp.external.urls")),
    path("", include("webapp.sources.urls")),
    path("", include("webapp.telemetry.urls")),
]
