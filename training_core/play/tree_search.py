"""Search for an answer that passes, in a tree of edits: breadth-first or depth-first, over whatever drafts and verdicts are.

The search asks for drafts and verdicts through coroutines and knows neither models nor prompts. Nodes that wait are expanded and
judged side by side, so that their requests come into one batch.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from training_core.play.scheduler import Episode


class Verdict(Protocol):
    """What judging an answer gives."""

    @property
    def value(self) -> float:
        """From 0, surely wrong, to 1, surely right."""


S = TypeVar("S")
V = TypeVar("V", bound=Verdict)


@dataclass(frozen=True, kw_only=True)
class Draft(Generic[S]):
    """A proposed answer and where it comes from: ``Draft(answer="Badfec", source=completion)``."""

    answer: str
    source: S


@dataclass(eq=False, kw_only=True)
class Node(Generic[S, V]):
    """An answer in the tree. The root has no draft and, as it failed, the value 0."""

    answer: str
    verdict: V
    draft: Draft[S] | None = None
    parent: "Node[S, V] | None" = None
    depth: int = 0

    @property
    def value(self) -> float:
        return 0.0 if self.parent is None else self.verdict.value


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Bounds of a tree: ``Shape(branch=3, beam=2, depth=3, gate=0.5)`` has at most 3 + 6 + 6 nodes below its root."""

    branch: int
    """Drafts asked for at every node that is expanded."""
    beam: int
    """Nodes expanded of each level (breadth-first) or of each set of children (depth-first), the best first."""
    depth: int
    """Edits from the root at most."""
    gate: float
    """The search ends with the first node whose value is above."""
    max_nodes: int = 1000
    """Nodes after which nothing is expanded."""
    order: Literal["bfs", "dfs"] = "bfs"


@dataclass(kw_only=True)
class Tree(Generic[S, V]):
    """The outcome of a search."""

    nodes: list[Node[S, V]]
    """Root first, then in the order they were made."""
    solution: Node[S, V] | None = None
    """The node that passed the gate; None where the search failed. A failed tree offers no best guess on purpose."""
    num_repeats: int = 0
    """Drafts whose answer had been judged already."""


Expand = Callable[[Node[S, V], int], Episode[list[Draft[S]]]]
"""``await expand(node, n)``: up to ``n`` drafts that edit the node's answer."""
Judge = Callable[[str], Episode[V | None]]
"""``await judge(answer)``: its verdict, or None where there is none and the answer is dropped."""
Gather = Callable[[Iterable[Episode[Any]]], Awaitable[list[Any]]]
"""``await gather(episodes)``: their results in order, run side by side."""


async def search(
    answer: str, verdict: V, *, shape: Shape, expand: Expand[S, V], judge: Judge[V], gather: Gather
) -> Tree[S, V]:
    """Edit a failed answer until a draft passes the gate or the tree is used up."""
    grower = _Grower(Node[S, V](answer=answer, verdict=verdict), shape, expand, judge, gather)
    if shape.order == "dfs":
        await grower.descend(grower.tree.nodes[0])
    else:
        await grower.sweep(grower.tree.nodes[0])
    return grower.tree


@dataclass
class _Grower(Generic[S, V]):
    root: Node[S, V]
    shape: Shape
    expand: Expand[S, V]
    judge: Judge[V]
    gather: Gather
    tree: Tree[S, V] = field(init=False)
    _judged: dict[str, V | None] = field(init=False)
    """Verdicts by answer: an answer that comes again is not judged again."""

    def __post_init__(self) -> None:
        self.tree = Tree(nodes=[self.root])
        self._judged = {self.root.answer: self.root.verdict}

    async def sweep(self, root: Node[S, V]) -> None:
        """Level by level: the best nodes of a level are expanded together."""
        frontier = [root]
        for _ in range(self.shape.depth):
            if not frontier or self._is_full:
                return
            children = await self._grow(frontier)
            if self._settle(children):
                return
            frontier = children[: self.shape.beam]

    async def descend(self, node: Node[S, V]) -> bool:
        """The best child first, all the way down, then its siblings; True once a node passed."""
        if node.depth == self.shape.depth or self._is_full:
            return False
        children = await self._grow([node])
        if self._settle(children):
            return True
        for child in children[: self.shape.beam]:
            if await self.descend(child):
                return True
        return False

    @property
    def _is_full(self) -> bool:
        return len(self.tree.nodes) > self.shape.max_nodes

    def _settle(self, children: list[Node[S, V]]) -> bool:
        if children and children[0].value > self.shape.gate:
            self.tree.solution = children[0]
        return self.tree.solution is not None

    async def _grow(self, parents: list[Node[S, V]]) -> list[Node[S, V]]:
        """The children of some nodes, the best first; of equal ones the earlier."""
        drafted = await self.gather(self.expand(parent, self.shape.branch) for parent in parents)
        pairs = [(parent, draft) for parent, drafts in zip(parents, drafted, strict=True) for draft in drafts]
        fresh = [a for a in dict.fromkeys(draft.answer for _, draft in pairs) if a not in self._judged]
        verdicts = await self.gather(self.judge(answer) for answer in fresh)
        self._judged.update(zip(fresh, verdicts, strict=True))
        self.tree.num_repeats += len(pairs) - len(fresh)
        children = []
        for parent, draft in pairs:
            verdict = self._judged[draft.answer]
            if verdict is not None:
                children.append(
                    Node(answer=draft.answer, verdict=verdict, draft=draft, parent=parent, depth=parent.depth + 1)
                )
        self.tree.nodes += children
        return sorted(children, key=lambda node: -node.value)
