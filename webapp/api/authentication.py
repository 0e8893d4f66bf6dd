"""Scripts sign in with ``Authorization: Bearer kmt_...``."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from webapp.accounts.models import ApiToken, User
from webapp.accounts.selectors import token_for_secret
from webapp.accounts.services import note_token_use

SCHEME = "Bearer"


class TokenAuthentication(BaseAuthentication):
    """Finds the person behind a token; a wrong, expired or revoked one is refused rather than ignored."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _, secret = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != SCHEME.lower():
            return None
        token = token_for_secret(secret.strip())
        if token is None:
            raise AuthenticationFailed(
                "This token is not valid: it is mistyped, expired or revoked. Create a new one on your account page."
            )
        note_token_use(token)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return SCHEME


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document describes it."""

    target_class = "webapp.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API token from the account page (kmt_...)."}
