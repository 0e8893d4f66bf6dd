from django.urls import path

from webapp.jobs import views

urlpatterns = [
    path("<uuid:job_id>/", views.state, name="job"),
    path("<uuid:job_id>/cancel/", views.cancel, name="job_cancel"),
    path("<uuid:job_id>/file/", views.file, name="job_file"),
]
