"""Query parameters of the lists."""

from typing import Any

from rest_framework import serializers

from webapp.experiments.choices import RunStatus


class ExperimentsQuery(serializers.Serializer[Any]):
    workspace = serializers.SlugField(required=False, default="", help_text="Slug of a workspace.")
    method = serializers.CharField(required=False, default="", max_length=40, help_text="Slug of a method.")
    status = serializers.ChoiceField(
        choices=RunStatus.choices, required=False, default="", help_text="Status of the newest run."
    )
    search = serializers.CharField(required=False, default="", max_length=120, help_text="Part of the name.")
    archived = serializers.BooleanField(required=False, default=False)


class RunsQuery(serializers.Serializer[Any]):
    workspace = serializers.SlugField(required=False, default="")
    experiment = serializers.UUIDField(required=False, default=None, allow_null=True)
    method = serializers.CharField(required=False, default="", max_length=40)
    status = serializers.ChoiceField(choices=RunStatus.choices, required=False, default="")
    search = serializers.CharField(
        required=False, default="", max_length=120, help_text="Part of the experiment's name."
    )
