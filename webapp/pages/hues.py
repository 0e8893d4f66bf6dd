"""One hue of the palette per role, the same on every page of a method."""

from collections.abc import Iterable

NUM_HUES = 8
_KEPT = {"solver": 1, "player_0": 1, "opponent": 2, "player_1": 3, "judge": 4, "proposer": 5}
"""Roles that many methods have look alike in all of them, and so does a role that other roles join with some knobs."""
_ORDER = (1, 2, 3, 5, 4, 6, 7, 8)


def hues(roles: Iterable[str]) -> dict[str, int]:
    """A hue from 1 to 8 for each role, by name: ``{"actor": 1, "refiner": 2}``. Up to eight roles never share one."""
    named = list(dict.fromkeys(roles))
    taken = {_KEPT[role] for role in named if role in _KEPT}
    free = [hue for hue in _ORDER if hue not in taken] or list(_ORDER)
    others = [role for role in named if role not in _KEPT]
    given = {role: free[place % len(free)] for place, role in enumerate(others)}
    return {role: _KEPT.get(role) or given[role] for role in named}
