from django.urls import path

from webapp.sources import views

urlpatterns = [
    path("runs/<uuid:run_id>/code/", views.code, name="code"),
    path("runs/<uuid:run_id>/code.zip", views.code_zip, name="code_zip"),
    path("compare/code/", views.code_difference, name="code_difference"),
]
