"""Secrets are kept as digests: whoever reads the database cannot sign in with what stands there."""

import hashlib


def digest_of(secret: str) -> str:
    """sha256, hexadecimal. Enough without salt or stretching because every secret is 24 random bytes or more."""
    return hashlib.sha256(secret.encode()).hexdigest()
