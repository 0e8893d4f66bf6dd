"""The run page and its parts, once for members and once for whoever holds a share link."""

from django.urls import URLPattern, path

from webapp.telemetry import sample_views, series_views, views


def _pages(root: str, name: str) -> list[URLPattern]:
    return [
        path(root, views.page, name=name),
        path(f"{root}state/", views.state, name=f"{name}_state"),
        path(f"{root}doctor/", views.doctor, name=f"{name}_doctor"),
        path(f"{root}judge/", views.judge, name=f"{name}_judge"),
        path(f"{root}moment/", views.moment, name=f"{name}_moment"),
        path(f"{root}series/", series_views.series, name=f"{name}_series"),
        path(f"{root}samples/", views.samples, name=f"{name}_samples"),
        path(f"{root}samples/<int:seq>/", views.sample, name=f"{name}_sample"),
        path(f"{root}samples/<int:seq>/tokens/", sample_views.tokens, name=f"{name}_tokens"),
        path(f"{root}find/", sample_views.find, name=f"{name}_find"),
        path(f"{root}groups/", sample_views.groups_list, name=f"{name}_groups"),
        path(f"{root}groups/<slug:key>/", sample_views.group, name=f"{name}_group"),
        path(f"{root}questions/<slug:key>/", sample_views.family, name=f"{name}_family"),
        path(f"{root}log/", views.log, name=f"{name}_log"),
        path(f"{root}parts/<slug:part>/", views.part, name=f"{name}_part"),
    ]


urlpatterns = [
    path("runs/<uuid:run_id>/shares/<int:link_id>/revoke/", views.revoke_share, name="run_share_revoke"),
    path("runs/<uuid:run_id>/twin/<uuid:other_id>/", sample_views.twin, name="run_twin"),
    path("search/", sample_views.search, name="search"),
    *_pages("runs/<uuid:run_id>/", "run"),
    *_pages("s/<str:secret>/", "share"),
]
