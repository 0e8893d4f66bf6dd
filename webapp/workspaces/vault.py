"""Secrets of a workspace: kept sealed, given to its runs as environment variables, and never shown again.

They are sealed with a key made from the installation's own (``KUMITE_SECRET_KEY``), so a copy of the database alone tells nothing.
"""

import logging
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.db import transaction
from django.http import Http404

from webapp.accounts.models import User
from webapp.workspaces.models import Secret, Workspace
from webapp.workspaces.selectors import require_manage
from webapp.workspaces.services import record

logger = logging.getLogger(__name__)

MAX_SECRETS = 20
_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,50}_(TOKEN|KEY|SECRET|PASSWORD)")
_VALUE = re.compile(r"[!#-\[\]-~]{8,4096}")
"""Printable, without spaces, quotes and backslashes: such a text reads the same in a log, in JSON and in a shell."""


@transaction.atomic(durable=True)
def set_secret(*, workspace: Workspace, actor: User, name: str, value: str) -> Secret:
    """Keep a secret, or put another value in its place. Raises ``ValueError`` with a sentence for what cannot be one."""
    require_manage(actor, workspace)
    name, value = name.strip().upper(), value.strip()
    if not _NAME.fullmatch(name):
        raise ValueError(
            "A secret is called like an environment variable that holds one: capital letters, digits and _, ending in "
            "_TOKEN, _KEY, _SECRET or _PASSWORD. HF_TOKEN, for example."
        )
    if not _VALUE.fullmatch(value):
        raise ValueError(
            "A secret has 8 to 4,096 characters, without spaces, quotes, backslashes and letters with accents."
        )
    if not workspace.secrets.filter(name=name).exists() and workspace.secrets.count() >= MAX_SECRETS:
        raise ValueError(f"{workspace} has {MAX_SECRETS} secrets, which is the most. Remove one first.")
    sealed = _box().encrypt(value.encode())
    secret, _ = Secret.objects.update_or_create(
        workspace=workspace, name=name, defaults={"sealed": sealed, "set_by": actor}
    )
    record(actor=actor, action="secret.set", obj=secret, workspace=workspace, detail={"name": name})
    return secret


@transaction.atomic(durable=True)
def remove_secret(*, workspace: Workspace, actor: User, name: str) -> None:
    require_manage(actor, workspace)
    secret = workspace.secrets.filter(name=name).first()
    if secret is None:
        raise Http404("This workspace has no such secret.")
    record(actor=actor, action="secret.removed", obj=secret, workspace=workspace, detail={"name": name})
    secret.delete()


def secrets_of_run(run_id: UUID) -> dict[str, str]:
    """What a run gets to know: ``{"HF_TOKEN": "hf_..."}``. What the installation's key does not open is left out, and logged."""
    box, opened = _box(), {}
    for name, sealed in Secret.objects.filter(workspace__experiments__runs=run_id).values_list("name", "sealed"):
        try:
            opened[name] = box.decrypt(bytes(sealed)).decode()
        except InvalidToken:
            logger.error("secret.unreadable", extra={"run": str(run_id), "secret": name})
    return opened


def readable(workspace: Workspace) -> Mapping[str, bool]:
    """Whether the installation's key still opens each secret; it does not where the key was exchanged."""
    box, found = _box(), {}
    for name, sealed in workspace.secrets.values_list("name", "sealed"):
        try:
            found[name] = bool(box.decrypt(bytes(sealed)))
        except InvalidToken:
            found[name] = False
    return found


def _box() -> Fernet:
    return Fernet(urlsafe_b64encode(sha256(b"kumite secrets\0" + settings.SECRET_KEY.encode()).digest()))
