from django.urls import path

from webapp.workspaces import views

urlpatterns = [
    path("workspaces/new/", views.new_workspace, name="new_workspace"),
    path("workspaces/switch/", views.switch_workspace, name="switch_workspace"),
    path("workspaces/<slug:slug>/", views.workspace, name="workspace"),
    path("workspaces/<slug:slug>/secrets/", views.set_secret, name="set_secret"),
    path("workspaces/<slug:slug>/secrets/<str:name>/remove/", views.remove_secret, name="remove_secret"),
    path("workspaces/<slug:slug>/members/", views.add_member, name="add_member"),
    path("workspaces/<slug:slug>/members/<int:user_id>/role/", views.change_role, name="change_role"),
    path("workspaces/<slug:slug>/members/<int:user_id>/remove/", views.remove_member, name="remove_member"),
]
