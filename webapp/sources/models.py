"""The code that carried out runs, kept by content: what did not change is kept once."""

from django.db import models


class SourceFile(models.Model):
    """The text of a file, under its digest."""

    digest = models.CharField(max_length=64, primary_key=True)
    """sha256 of the text as UTF-8, hexadecimal."""
    text = models.TextField()

    def __str__(self) -> str:
        return self.digest[:10]


class CodeVersion(models.Model):
    """A tree of files: ``{"training_core/methods/mae.py": digest of its text, ...}``."""

    digest = models.CharField(max_length=64, primary_key=True)
    """sha256 over the paths and the digests of the files, in the order of the paths."""
    files = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.digest[:10]
