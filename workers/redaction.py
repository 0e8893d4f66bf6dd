"""Secrets a run was given are taken out of everything it says, before that is stored or shown."""

import re
from collections.abc import Mapping


class Redactor:
    """``Redactor({"HF_TOKEN": "hf_abcdefgh"}).clean(b"use hf_abcdefgh")`` is ``b"use [HF_TOKEN]"``."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._shown = {value.encode(): f"[{name}]".encode() for name, value in (secrets or {}).items()}
        longest_first = sorted(self._shown, key=len, reverse=True)  # one secret may begin with another
        self._any = re.compile(b"|".join(map(re.escape, longest_first))) if self._shown else None

    def clean(self, data: bytes) -> bytes:
        return self._any.sub(lambda found: self._shown[found[0]], data) if self._any else data

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """Of data that goes on: what is clean now, and the end that may be the beginning of a secret, as it is."""
        if self._any is None:
            return data, b""
        settled = 0
        for found in self._any.finditer(data):
            if self._may_grow(data[found.start() :]):
                break
            settled = found.end()
        longest = max(map(len, self._shown)) - 1
        begin = max(settled, len(data) - longest)
        held = next((place for place in range(begin, len(data)) if self._may_grow(data[place:])), len(data))
        return self.clean(data[:held]), data[held:]

    def _may_grow(self, end: bytes) -> bool:
        """Whether a secret begins with this and is longer."""
        return any(value.startswith(end) and value != end for value in self._shown)
