from django.urls import path

from webapp.notices import views

urlpatterns = [
    path("", views.notices, name="notices"),
    path("news/", views.news, name="notices_news"),
    path("read/", views.read, name="notices_read"),
    path("channels/", views.add_channel, name="add_channel"),
    path("channels/<int:channel_id>/remove/", views.remove_channel, name="remove_channel"),
]
