from django.urls import path, register_converter

from webapp.fleet import views


class WorkerActionConverter:
    regex = "drain|undrain"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class RunActionConverter(WorkerActionConverter):
    regex = "stop|requeue|priority|move"


register_converter(WorkerActionConverter, "worker_action")
register_converter(RunActionConverter, "run_action")

urlpatterns = [
    path("", views.fleet, name="fleet"),
    path("workers/<uuid:worker_id>/<worker_action:action>/", views.worker_action, name="worker_action"),
    path("runs/<uuid:run_id>/<run_action:action>/", views.run_action, name="fleet_run_action"),
]
