"""Markdown documents of the product, rendered to safe HTML."""

import re
from functools import lru_cache
from pathlib import Path

import nh3
from django.conf import settings
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

_TAGS = {
    "a", "blockquote", "br", "code", "em", "h2", "h3", "h4", "hr", "img", "li", "ol", "p", "pre", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_ATTRIBUTES = {"a": {"href"}, "td": {"align"}, "th": {"align"}, "img": {"src", "alt"}}
_BLOCK = re.compile("<pre><code>(?P<text>.*?)</code></pre>", re.DOTALL)
_DEEPEST = 4


def method_document(slug: str) -> SafeString | None:
    """The method's own page ``docs/methods/<slug>.md``; None where nobody wrote one."""
    path = Path(settings.BASE_DIR) / "docs" / "methods" / f"{slug}.md"
    return _rendered(path, path.stat().st_mtime_ns) if path.is_file() else None


def user_text(text: str) -> SafeString:
    """Markdown that a person wrote, as HTML: no pictures, no raw HTML, links to web pages and into the site only."""
    return _to_html(text, tags=_TAGS - {"img"}, top=2)


@lru_cache(maxsize=64)
def _rendered(path: Path, _version: int) -> SafeString:
    return _to_html(path.read_text(encoding="utf-8"), tags=_TAGS, top=3)


def _to_html(text: str, *, tags: set[str], top: int) -> SafeString:
    """``top`` is the level of the outermost headings on the page that the text stands on."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    if tokens and tokens[0].tag == "h1":  # the page has its own heading
        del tokens[:3]
    _set_levels(tokens, top)
    for token in tokens:
        if token.type in {"th_open", "td_open"} and (style := token.attrGet("style")):
            token.attrs.pop("style")
            token.attrSet("align", str(style).rpartition(":")[2])
    _name_every_header(tokens)
    html = markdown.renderer.render(tokens, markdown.options, {})
    clean = nh3.clean(html, tags=tags, attributes=_ATTRIBUTES, url_schemes={"http", "https", "mailto"})
    # Cut down to an allow-list, so it may stand in the page as HTML.
    return mark_safe(_fitting(clean))  # noqa: S308


def _set_levels(tokens: list[Token], top: int) -> None:
    """Levels by how headings stand below one another, whatever levels were written, so that none is left out."""
    written: list[str] = []
    for token in tokens:
        if token.type == "heading_open":
            written = [*(tag for tag in written if tag < token.tag), token.tag]
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(top + len(written) - 1, _DEEPEST)}"


def _name_every_header(tokens: list[Token]) -> None:
    """A header cell without words is an ordinary cell: a table may leave its corner empty."""
    for opening, inside, closing in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if opening.type == "th_open" and not inside.content:
            opening.tag = closing.tag = "td"


def _fitting(html: str) -> str:
    """Let wide tables scroll, also by keyboard, and each line of code or equations wrap by itself."""
    html = html.replace("<table>", '<div class="table-wrap" tabindex="0" role="group" aria-label="Table"><table>')
    return _BLOCK.sub(_lines_apart, html.replace("</table>", "</table></div>"))


def _lines_apart(block: re.Match[str]) -> str:
    lines = block["text"].removesuffix("\n").split("\n")
    return "".join(["<pre><code>", *(f'<span class="line">{line or " "}</span>' for line in lines), "</code></pre>"])
