"""A report as a file that needs nothing else: one HTML page with its drawings inside."""

from pathlib import Path

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString

from webapp.reports.models import Report
from webapp.reports.panels import Panel

_STYLE = Path(settings.BASE_DIR) / "static" / "css" / "report-file.css"


def to_html(report: Report, panels: list[Panel]) -> SafeString:
    """The whole page. Scripts, pictures and addresses of other hosts are neither needed nor allowed in it."""
    body = render_to_string("reports/_panels.html", {"panels": panels, "is_file": True})
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return format_html(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" content="{}"><title>{}</title><style>{}</style></head>'
        "<body><main><h1>{}</h1><p>{}</p>{}</main></body></html>\n",
        policy,
        report.title,
        SafeString(_STYLE.read_text(encoding="utf-8")),
        report.title,
        f"From the workspace {report.workspace.name}, as of {report.updated_at:%Y-%m-%d %H:%M} UTC",
        body,
    )
