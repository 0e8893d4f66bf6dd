"""Addresses of the sockets: the page's own address under ``/ws``."""

from django.urls import path

from webapp.live.consumers import RunConsumer, ShareConsumer

websocket_urlpatterns = [
    path("ws/runs/<uuid:run_id>/", RunConsumer.as_asgi()),
    path("ws/s/<str:secret>/", ShareConsumer.as_asgi()),
]
