"""Lays out a method's roles and flow as a drawing: boxes on a grid, arrows that avoid other boxes."""

from collections.abc import Sequence
from dataclasses import dataclass

from training_core.methods.card import FlowEdge, FlowNode
from webapp.pages.hues import hues

NODE_WIDTH, NODE_HEIGHT = 132, 48
_COLUMN, _ROW, _MARGIN = 232, 128, 14
_BOW = 34
_LABEL_LIFT = 7
_PORT_GAP = 14
_LONGEST_LINE = 13


@dataclass(frozen=True, kw_only=True)
class DrawnNode:
    """``DrawnNode(id="solver", label="Solver", lines=("Solver",), kind="role", hue=1, x=246, ...)``; x and y are the upper left corner."""

    id: str
    label: str
    lines: tuple[str, ...]
    """The label as it fits into the box."""
    kind: str
    hue: int
    """Hue of a role; what is no role has none and says 0."""
    x: int
    y: int
    num_knobs: int


@dataclass(frozen=True, kw_only=True)
class DrawnEdge:
    path: str
    label: str
    label_x: float
    label_y: float
    source: str
    target: str
    lowest: float
    """The largest y of its line."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    width: int
    height: int
    nodes: tuple[DrawnNode, ...]
    edges: tuple[DrawnEdge, ...]


@dataclass(frozen=True)
class _Point:
    x: float
    y: float


def draw(nodes: Sequence[FlowNode], edges: Sequence[FlowEdge], *, roles: Sequence[str]) -> Flow:
    """The drawing of a method's flow; a box called like one of the ``roles`` takes its hue."""
    tints = hues(roles)
    columns, rows = max((n.x for n in nodes), default=0), max((n.y for n in nodes), default=0)
    placed = {node.id: node for node in nodes}
    taken = {(node.x, node.y) for node in nodes}
    ports = _ports(edges, placed, taken)
    lines = tuple(_drawn_edge(edge, placed, taken, ports) for edge in edges)
    lowest = max([_MARGIN + rows * _ROW + NODE_HEIGHT, *(round(line.lowest) for line in lines)])
    return Flow(
        width=2 * _MARGIN + columns * _COLUMN + NODE_WIDTH,
        height=lowest + _MARGIN,
        nodes=tuple(_drawn_node(node, tints.get(node.id, 0)) for node in nodes),
        edges=lines,
    )


def _drawn_node(node: FlowNode, hue: int) -> DrawnNode:
    corner = _corner(node)
    return DrawnNode(
        id=node.id,
        label=node.label,
        lines=_lines(node.label),
        kind=node.kind,
        hue=hue,
        x=round(corner.x),
        y=round(corner.y),
        num_knobs=len(node.knobs),
    )


def _lines(label: str) -> tuple[str, ...]:
    """A long label broken at the space that leaves its halves most alike."""
    places = [place for place, character in enumerate(label) if character == " "]
    if len(label) <= _LONGEST_LINE or not places:
        return (label,)
    middle = min(places, key=lambda place: abs(place - len(label) / 2))
    return label[:middle], label[middle + 1 :]


def _corner(node: FlowNode) -> _Point:
    return _Point(_MARGIN + node.x * _COLUMN, _MARGIN + node.y * _ROW)


Ports = dict[tuple[str, str, str], float]
"""How far from the middle of a box's side an edge begins or ends, by (source, target, "source" or "target")."""


def _ports(edges: Sequence[FlowEdge], placed: dict[str, FlowNode], taken: set[tuple[int, int]]) -> Ports:
    """Spread the edges that share a side of a box, in the order of the boxes they lead to."""
    sides: dict[tuple[str, int], list[tuple[int, str, str, str]]] = {}
    for edge in edges:
        source, target = placed[edge.source], placed[edge.target]
        if source.x == target.x or _blocked(source, target, taken):
            continue
        right = 1 if target.x > source.x else -1
        sides.setdefault((edge.source, right), []).append((target.y, edge.source, edge.target, "source"))
        sides.setdefault((edge.target, -right), []).append((source.y, edge.source, edge.target, "target"))
    return {
        (source, target, end): (place - (len(ends) - 1) / 2) * _PORT_GAP
        for ends in sides.values()
        for place, (_, source, target, end) in enumerate(sorted(ends))
    }


def _drawn_edge(edge: FlowEdge, placed: dict[str, FlowNode], taken: set[tuple[int, int]], ports: Ports) -> DrawnEdge:
    source, target = placed[edge.source], placed[edge.target]
    start, bend_1, bend_2, end = _curve(
        source,
        target,
        blocked=_blocked(source, target, taken),
        start_shift=ports.get((edge.source, edge.target, "source"), 0),
        end_shift=ports.get((edge.source, edge.target, "target"), 0),
    )
    middle = _at_middle(start, bend_1, bend_2, end)
    vertical = source.x == target.x
    return DrawnEdge(
        path=f"M{start.x:.0f} {start.y:.0f}C{bend_1.x:.0f} {bend_1.y:.0f} {bend_2.x:.0f} {bend_2.y:.0f} {end.x:.0f} {end.y:.0f}",
        label=edge.label,
        label_x=middle.x,
        label_y=middle.y + (4 if vertical else -_LABEL_LIFT),
        source=source.label,
        target=target.label,
        lowest=max(start.y, middle.y, end.y),
    )


def _blocked(source: FlowNode, target: FlowNode, taken: set[tuple[int, int]]) -> bool:
    between = range(min(source.x, target.x) + 1, max(source.x, target.x))
    return source.y == target.y and any((x, source.y) in taken for x in between)


def _curve(
    source: FlowNode, target: FlowNode, *, blocked: bool, start_shift: float, end_shift: float
) -> tuple[_Point, _Point, _Point, _Point]:
    a, b = _corner(source), _corner(target)
    half_w, half_h = NODE_WIDTH / 2, NODE_HEIGHT / 2
    if blocked:  # under the boxes in between
        shift = half_w / 2 * (1 if b.x > a.x else -1)
        start = _Point(a.x + half_w + shift, a.y + NODE_HEIGHT)
        end = _Point(b.x + half_w - shift, b.y + NODE_HEIGHT)
        depth = NODE_HEIGHT + a.y + _BOW * 1.6
        return start, _Point(start.x + shift, depth), _Point(end.x - shift, depth), end
    if source.x == target.x:
        down = b.y > a.y
        start = _Point(a.x + half_w, a.y + (NODE_HEIGHT if down else 0))
        end = _Point(b.x + half_w, b.y + (0 if down else NODE_HEIGHT))
        return start, start, end, end
    right = b.x > a.x
    start = _Point(a.x + (NODE_WIDTH if right else 0), a.y + half_h + start_shift)
    end = _Point(b.x + (0 if right else NODE_WIDTH), b.y + half_h + end_shift)
    reach = abs(end.x - start.x) / 2 * (1 if right else -1)
    return start, _Point(start.x + reach, start.y), _Point(end.x - reach, end.y), end


def _at_middle(a: _Point, b: _Point, c: _Point, d: _Point) -> _Point:
    """The point of the cubic Bezier curve at half its parameter."""
    return _Point((a.x + 3 * b.x + 3 * c.x + d.x) / 8, (a.y + 3 * b.y + 3 * c.y + d.y) / 8)
