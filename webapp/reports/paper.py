"""Reports and passports on paper (PDF): the same panels, set with fpdf2."""

from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from fpdf import FPDF
from fpdf.enums import WrapMode, XPos, YPos
from fpdf.fonts import FontFace

from webapp.pages.figures import DASHES, HEIGHT, HUES, WIDTH, Figure
from webapp.reports.panels import Panel, Quote, Table

_FONTS = Path(settings.BASE_DIR) / "static" / "vendor" / "dejavu-2.37.3"
MARGIN_MM = 18.0
_INK, _SOFT, _LINE, _SHADE = (27, 30, 36), (95, 99, 106), (180, 174, 156), (244, 242, 235)


def to_pdf(title: str, subtitle: str, panels: Sequence[Panel]) -> bytes:
    """A document of A4 pages."""
    paper = _Paper(title)
    paper.heading(title, subtitle)
    for panel in panels:
        _panel(paper, panel)
    return bytes(paper.output())


class _Paper(FPDF):
    def __init__(self, title: str) -> None:
        super().__init__(format="A4")
        self.running_title = title
        for family, style, name in (
            ("sans", "", "DejaVuSans"),
            ("sans", "B", "DejaVuSans-Bold"),
            ("mono", "", "DejaVuSansMono"),
        ):
            self.add_font(family, style, _FONTS / f"{name}.ttf")
        self.set_title(title)
        self.set_creator("Kumite")
        self.set_margins(MARGIN_MM, MARGIN_MM)
        self.set_auto_page_break(True, margin=MARGIN_MM)
        self.set_text_color(*_INK)
        self.set_draw_color(*_LINE)
        self.add_page()

    def footer(self) -> None:
        self.set_y(-13)
        self.set_font("sans", size=7)
        self.set_text_color(*_SOFT)
        self.cell(self.epw / 2, 5, _line(self.running_title)[:90])
        self.cell(self.epw / 2, 5, f"Page {self.page_no()}", align="R")
        self.set_text_color(*_INK)

    def heading(self, title: str, subtitle: str) -> None:
        self.set_font("sans", "B", 18)
        self.words(title, 9)
        self.set_font("sans", size=8)
        self.set_text_color(*_SOFT)
        self.words(subtitle, 5)
        self.set_text_color(*_INK)
        self.ln(3)

    def words(self, text: str, height: float) -> None:
        self.multi_cell(0, height, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT, wrapmode=WrapMode.WORD)


def _panel(paper: _Paper, panel: Panel) -> None:
    if panel.title:
        if paper.will_page_break(30):
            paper.add_page()
        paper.set_font("sans", "B", 11)
        paper.words(panel.title, 6)
        paper.ln(1)
    if panel.text:
        _markdown(paper, panel.text)
    if panel.missing:
        paper.set_font("sans", size=9)
        paper.words(panel.missing, 5)
    if panel.drawing:
        _drawing(paper, panel.drawing)
    for table in panel.tables:
        _table(paper, table)
    for quote in panel.quotes:
        _quote(paper, quote)
    paper.ln(4)


def _markdown(paper: _Paper, text: str) -> None:
    """Headings, lists and paragraphs, without emphasis; the rest of Markdown stands as it was written."""
    for paragraph in text.replace("\r\n", "\n").replace("**", "").split("\n"):
        level = len(paragraph) - len(paragraph.lstrip("#"))
        if 0 < level <= 4 and paragraph[level : level + 1] == " ":
            paper.set_font("sans", "B", {1: 13, 2: 12}.get(level, 10))
            paper.words(paragraph[level:].strip(), 6)
        elif paragraph.strip():
            paper.set_font("sans", size=9)
            bullet = paragraph.lstrip().startswith(("- ", "* "))
            paper.words(f"•  {paragraph.lstrip()[2:]}" if bullet else paragraph, 5)
        else:
            paper.ln(2)


def _drawing(paper: _Paper, drawing: Figure) -> None:
    scale = paper.epw / WIDTH
    height = HEIGHT * scale
    if paper.will_page_break(height + 5 * len(drawing.curves)):
        paper.add_page()
    left, top = paper.l_margin, paper.get_y()
    paper.set_font("sans", size=6.5)
    paper.set_text_color(*_SOFT)
    paper.set_line_width(0.1)
    for tick in drawing.y_ticks:
        y = top + tick.at * scale
        paper.line(left + 54 * scale, y, left + (WIDTH - 12) * scale, y)
        paper.text(left + 50 * scale - paper.get_string_width(tick.words), y + 0.8, tick.words)
    for tick in drawing.x_ticks:
        paper.text(
            left + tick.at * scale - paper.get_string_width(tick.words) / 2, top + (HEIGHT - 18) * scale, tick.words
        )
    paper.text(left + paper.epw / 2, top + (HEIGHT - 4) * scale, drawing.x_label)
    for path, curve in zip(drawing.paths, drawing.curves, strict=True):
        _pen(paper, curve.hue, curve.dash)
        paper.polyline([(left + x * scale, top + y * scale) for x, y in path])
    paper.set_text_color(*_INK)
    paper.set_y(top + height)
    for curve in drawing.curves:
        y = paper.get_y() + 2
        _pen(paper, curve.hue, curve.dash)
        paper.line(left, y, left + 8, y)
        paper.set_x(left + 10)
        paper.cell(0, 4, _line(curve.label), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    paper.set_dash_pattern()
    paper.set_draw_color(*_LINE)
    paper.ln(2)


def _pen(paper: _Paper, hue: int, dash: int) -> None:
    colour = HUES[hue % len(HUES)]
    paper.set_draw_color(*(int(colour[place : place + 2], 16) for place in (1, 3, 5)))
    paper.set_line_width(0.4)
    lengths = [float(part) / 3 for part in DASHES[dash % len(DASHES)].split()]
    paper.set_dash_pattern(*(lengths[:2] if lengths else (0, 0)))


def _table(paper: _Paper, table: Table) -> None:
    paper.set_font("sans", size=7)
    head = FontFace(emphasis="BOLD", fill_color=_SHADE)
    widths = (1, 2) if len(table.head) == 2 else (2, *[1] * (len(table.head) - 1))
    with paper.table(
        borders_layout="HORIZONTAL_LINES", headings_style=head, line_height=4, text_align="LEFT",
        col_widths=widths, padding=0.6, wrapmode=WrapMode.CHAR,
    ) as drawn:  # fmt: skip
        for row in (table.head, *table.rows):
            line = drawn.row()
            for cell in row:
                line.cell(str(cell))
    paper.ln(2)


def _quote(paper: _Paper, quote: Quote) -> None:
    paper.set_font("sans", "B", 8)
    paper.words(quote.who, 4.5)
    paper.set_font("mono", size=7.5)
    paper.set_fill_color(*_SHADE)
    paper.multi_cell(
        0,
        4,
        quote.text or "(nothing)",
        align="L",
        fill=True,
        new_x=XPos.LMARGIN,
        new_y=YPos.NEXT,
        wrapmode=WrapMode.CHAR,
    )
    if quote.note:
        paper.set_font("sans", size=7)
        paper.set_text_color(*_SOFT)
        paper.words(quote.note, 4)
        paper.set_text_color(*_INK)
    paper.ln(1.5)


def _line(text: str) -> str:
    return " ".join(text.split())
