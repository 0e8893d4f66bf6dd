from django.urls import path

from webapp.notices import views

urlpatterns = [
    path("", views.notices, name="notices"),
    path("news/", views.news, name="notices_news"),
    path("read/", views.read, name="notices_read"),
    path("channels/", views.add_channel, name="add_channel"),
    path("rules/", views.add_rule, name="add_alert_rule"),
    path("rules/<int:rule_id>/remove/", views.remove_rule, name="remove_alert_rule"),
    path("channels/<int:channel_id>/remove/", views.remove_channel, name="remove_channel"),
]
