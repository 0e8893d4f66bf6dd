"""The ``kumite`` command line, a client of the HTTP API. Nothing here imports Django or torch, so it starts at once."""
