from django.urls import path

from webapp.pages import views

urlpatterns = [path("find/", views.palette, name="palette")]
