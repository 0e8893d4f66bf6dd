"""``kumite up``: one foreground process that starts everything on this machine, watches it, and stops it again."""
