from django.urls import path

from webapp.exports import views

urlpatterns = [
    path("runs/export/", views.export_runs, name="export_runs"),
    path("runs/<uuid:run_id>/export/", views.export_run, name="export_run"),
    path("s/<str:secret>/export/", views.export_shared, name="share_export"),
]
