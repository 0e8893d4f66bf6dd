from django.urls import path

from webapp.examples import views

urlpatterns = [
    path("add/", views.add, name="add_example"),
    path("remove/", views.remove, name="remove_example"),
]
