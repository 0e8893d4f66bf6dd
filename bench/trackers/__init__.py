"""What ``bench.peers`` measures side by side: Kumite and the trackers that pip installs, all asked the same."""
