"""Who is measured against whom by ``bench.engines``: one process each, one step at a time."""
