from django.urls import path

from webapp.accounts import views

urlpatterns = [
    path("me/", views.account, name="account"),
    path("me/name/", views.rename, name="account_rename"),
    path("me/tokens/", views.create_token, name="create_token"),
    path("me/tokens/<int:token_id>/revoke/", views.revoke_token, name="revoke_token"),
    path("link/<str:secret>/", views.sign_in_link, name="sign_in_link"),
]
