"""Drawings of reports."""

from django import template
from django.utils.safestring import SafeString

from webapp.pages.figures import Curve, Figure, key, svg

register = template.Library()


@register.simple_tag
def drawn(drawing: Figure) -> SafeString:
    """The chart itself."""
    return svg(drawing)


@register.simple_tag
def line_key(curve: Curve) -> SafeString:
    """A piece of the line for the legend."""
    return key(curve)
