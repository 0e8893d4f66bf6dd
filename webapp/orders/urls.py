from django.urls import path

from webapp.orders import views

urlpatterns = [
    path("runs/<uuid:run_id>/steer/knob/", views.turn_knob, name="turn_knob"),
    path("runs/<uuid:run_id>/steer/pool/", views.change_pool, name="change_pool"),
]
