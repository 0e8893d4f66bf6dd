from django.urls import path

from webapp.external import views

urlpatterns = [path("runs/<uuid:run_id>/end/", views.end_run, name="end_outside")]
