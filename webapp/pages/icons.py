"""The icon set: strokes on a 24-grid, drawn for this product."""

PATHS: dict[str, str] = {
    "home": "M3 3h18v18H3z M3 9h12 M15 3v12 M9 9v12 M9 15h12",
    "methods": "M3 4h6v6H3z M15 14h6v6h-6z M9 7h9v7 M15 17H6v-7",
    "compose": "M4 20l1-4L16 5l3 3L8 19z M13.5 7.5l3 3 M13 20h7",
    "experiments": "M3 3v18h18 M7 16l4-6 3 3 5-8",
    "fleet": "M3 4h18v6H3z M3 14h18v6H3z M7 7h2 M7 17h2 M13 7h4 M13 17h4",
    "people": "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z M2.5 20c0-3.6 2.7-6 6.5-6s6.5 2.4 6.5 6 M16 4.4a3.4 3.4 0 0 1 0 6.2 "
    "M17.5 14.3c2.4.7 4 2.8 4 5.7",
    "person": "M12 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8z M4 21c0-4 3.4-7 8-7s8 3 8 7",
    "out": "M14 4h6v16h-6 M4 12h11 M11 8l4 4-4 4",
    "more": "M5 11h2v2H5z M11 11h2v2h-2z M17 11h2v2h-2z",
    "search": "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13z M15.5 15.5L21 21",
    "plus": "M12 4v16 M4 12h16",
    "check": "M4 12.5l5 5L20 6.5",
    "cross": "M5 5l14 14 M19 5L5 19",
    "copy": "M8 8h12v12H8z M4 16V4h12",
    "play": "M7 4l13 8-13 8z",
    "pause": "M8 4v16 M16 4v16",
    "stop": "M5 5h14v14H5z",
    "save": "M4 4h13l3 3v13H4z M8 4v5h7V4 M8 20v-6h8v6",
    "share": "M9 12h11 M16 8l4 4-4 4 M13 4H4v16h9",
    "clone": "M4 4h11v11H4z M9 19h11V9",
    "trash": "M4 7h16 M9 7V4h6v3 M6 7l1 13h10l1-13 M10 11v5 M14 11v5",
    "down": "M5 9l7 7 7-7",
    "right": "M9 5l7 7-7 7",
    "left": "M15 5l-7 7 7 7",
    "first": "M19 5l-7 7 7 7 M6 5v14",
    "last": "M5 5l7 7-7 7 M18 5v14",
    "link": "M10 14l4-4 M8 12l-3 3a3.5 3.5 0 0 0 5 5l3-3 M16 12l3-3a3.5 3.5 0 0 0-5-5l-3 3",
    "warn": "M12 4l9.5 16h-19z M12 10v5 M12 17.5v.5",
    "info": "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z M12 11v6 M12 7.5v.5",
    "refresh": "M20 5v5h-5 M4 19v-5h5 M19 10a7.5 7.5 0 0 0-13.5-2.5 M5 14a7.5 7.5 0 0 0 13.5 2.5",
    "sun": "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8z M12 2v2 M12 20v2 M2 12h2 M20 12h2",
    "moon": "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
    "auto": "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z M12 3v18",
    "key": "M8 20a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9z M11.5 12.5L20 4 M16 8l3 3 M13.5 10.5l2 2",
}

SHAPES: dict[str, str] = {
    "ring": "M6 1a5 5 0 1 1 0 10A5 5 0 0 1 6 1z M6 3a3 3 0 1 0 0 6A3 3 0 0 0 6 3z",
    "half": "M6 1a5 5 0 1 1 0 10z",
    "disc": "M6 1a5 5 0 1 1 0 10A5 5 0 0 1 6 1z",
    "bars": "M2.5 1h2.5v10H2.5z M7 1h2.5v10H7z",
    "square": "M1.5 1.5h9v9h-9z",
    "diamond": "M6 .5L11.5 6 6 11.5.5 6z",
    "cross": "M2.2.8L6 4.6 9.8.8l1.4 1.4L7.4 6l3.8 3.8-1.4 1.4L6 7.4l-3.8 3.8L.8 9.8 4.6 6 .8 2.2z",
}
"""Small filled shapes on a 12-grid that tell states apart without colour."""

STATUS_SHAPES: dict[str, str] = {
    "queued": "ring",
    "claimed": "half",
    "starting": "half",
    "running": "disc",
    "pausing": "bars",
    "paused": "bars",
    "cancelling": "square",
    "cancelled": "square",
    "succeeded": "diamond",
    "failed": "cross",
    "timed_out": "cross",
}
