"""Runs that happen elsewhere and only tell their numbers: to be looked at and compared, never claimed by a worker."""
