"""The two ways out: e-mail, and a signed POST to a webhook.

A webhook's address is typed by a person and called from inside, so it may only lead to public addresses, unless the installation
allows its own network (``KUMITE_WEBHOOK_PRIVATE``). The address that was checked is the one that is called; redirects are not
followed and answers are not shown.
"""

import hashlib
import hmac
import ipaddress
import json
import smtplib
import socket
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.core.mail import EmailMessage

from webapp.notices.choices import ChannelKind
from webapp.notices.models import Delivery

TIMEOUT_S = 8.0
MAX_URL = 500


class NotSent(RuntimeError):
    """A message could not be handed over; the text says why."""


def send(delivery: Delivery) -> None:
    """Hand one notice over; raises ``NotSent``."""
    if delivery.channel.kind == ChannelKind.EMAIL:
        _send_mail(delivery)
    else:
        _post(delivery)


def check_webhook(url: str) -> None:
    """Refuse an address that cannot be called, with a sentence."""
    parts = urlsplit(url)
    if len(url) > MAX_URL or parts.scheme not in {"https", "http"} or not parts.hostname or parts.username:
        raise ValueError(f"{url[:80]!r} is no address of a webhook. It begins with https:// and names a host.")
    try:
        _resolve(url)
    except NotSent as error:
        raise ValueError(f"{error} Give an address that can be reached from here.") from error


def link(path: str) -> str:
    return f"{settings.SITE_URL}{path}"


def _send_mail(delivery: Delivery) -> None:
    notice = delivery.notice
    body = f"{notice.text}\n\n{link(notice.url)}\n\nYou asked for this on {link('/notices/')}"
    title = " ".join(notice.title.split())  # a header has no line breaks
    mail = EmailMessage(f"[Kumite] {title}", body, settings.DEFAULT_FROM_EMAIL, [delivery.channel.address])
    mail.extra_headers["Message-ID"] = f"<kumite-{delivery.pk}@{urlsplit(settings.SITE_URL).hostname}>"
    try:
        mail.send()
    except (smtplib.SMTPException, OSError) as error:
        raise NotSent(f"The mail server did not take it: {error}") from error


def _post(delivery: Delivery) -> None:
    notice, channel = delivery.notice, delivery.channel
    content = {
        "id": delivery.pk,
        "kind": notice.kind,
        "title": notice.title,
        "text": f"{notice.title}. {notice.text} {link(notice.url)}",
        "detail": notice.text,
        "url": link(notice.url),
        "run": str(notice.run_id) if notice.run_id else None,
        "at": notice.created_at.isoformat(),
    }
    body = json.dumps(content).encode()
    signature = hmac.new(channel.secret.encode(), body, hashlib.sha256).hexdigest()
    parts, address = urlsplit(channel.address), _resolve(channel.address)
    host = parts.hostname or ""
    shown = f"[{address}]" if ":" in address else address
    netloc = shown if parts.port is None else f"{shown}:{parts.port}"
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": "Kumite",
        "X-Kumite-Delivery": str(delivery.pk),
        "X-Kumite-Signature": f"sha256={signature}",
    }
    try:
        with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client:
            response = client.post(
                parts._replace(netloc=netloc).geturl(), content=body, headers=headers, extensions={"sni_hostname": host}
            )
    except httpx.HTTPError as error:
        raise NotSent(f"{host} could not be reached ({type(error).__name__}).") from error
    if not response.is_success:
        raise NotSent(f"{host} answered {response.status_code}.")


def _resolve(url: str) -> str:
    """The address behind a webhook's host, public unless private ones are allowed."""
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        raise NotSent(f"There is no host called {parts.hostname}.") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not settings.WEBHOOK_PRIVATE and any(not ipaddress.ip_address(address).is_global for address in addresses):
        raise NotSent(f"{parts.hostname} is an address inside this network, which webhooks may not call here.")
    return addresses[0]
