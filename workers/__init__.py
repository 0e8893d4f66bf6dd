"""Turns a queued run into a supervised process and writes back what it saw. Nothing here loads torch."""
