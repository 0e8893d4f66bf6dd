from django.urls import path, register_converter

from webapp.experiments import compose_views, template_views, views


class ControlConverter:
    """The ways to control a run; further addresses below a run belong to its page."""

    regex = "pause|resume|checkpoint|stop|share"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(ControlConverter, "control")

urlpatterns = [
    path("methods/", views.gallery, name="gallery"),
    path("methods/<slug:slug>/", views.method, name="method"),
    path("compose/", compose_views.compose, name="compose"),
    path("compose/check/", compose_views.compose_check, name="compose_check"),
    path("compose/block/", compose_views.compose_block, name="compose_block"),
    path("compose/yaml/", compose_views.compose_yaml, name="compose_yaml"),
    path("compose/rehearse/", compose_views.compose_rehearse, name="compose_rehearse"),
    path("compose/rehearse/<uuid:run_id>/", compose_views.compose_rehearsal, name="compose_rehearsal"),
    path("library/templates/", template_views.templates, name="templates"),
    path("library/templates/<uuid:template_id>/", template_views.template, name="template"),
    path("library/templates/<uuid:template_id>/rename/", template_views.rename, name="rename_template"),
    path("library/templates/<uuid:template_id>/retire/", template_views.retire, name="retire_template"),
    path("experiments/", views.experiments, name="experiments"),
    path("experiments/<uuid:experiment_id>/", views.experiment, name="experiment"),
    path("experiments/<uuid:experiment_id>/launch/", views.launch_again, name="launch_again"),
    path("experiments/<uuid:experiment_id>/archive/", views.archive, name="archive_experiment"),
    path("runs/<uuid:run_id>/<control:action>/", views.run_control, name="run_control"),
]
