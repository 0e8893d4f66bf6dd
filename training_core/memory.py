"""What becomes of main memory that tensors have given back."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's ``mallopt``."""
_KEPT_BELOW = 1 << 30
"""Bytes of the largest block that is kept."""
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Let the process keep what tensors give back, ready for the next ones; without glibc, nothing changes.

    glibc returns blocks of megabytes to the kernel, which has to clear every page again for the next tensor. An update makes and
    drops such tensors by the hundred: on a small model that was a fifth of its CPU time. The process stays as large as its
    largest step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BELOW)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)
