"""Query parameters of the lists."""

from typing import Any

from rest_framework import serializers

from webapp.compare.models import ViewPage
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
    tag = serializers.CharField(required=False, default="", max_length=40)
    created_by = serializers.IntegerField(required=False, default=None, allow_null=True, help_text="Id of a person.")
    since = serializers.DateField(
        required=False, default=None, allow_null=True, help_text="Created on this day or later."
    )
    until = serializers.DateField(
        required=False, default=None, allow_null=True, help_text="Created on this day or before."
    )
    archived = serializers.BooleanField(
        required=False, default=None, allow_null=True, help_text="Only archived runs, or only others; all without it."
    )
    metric = serializers.CharField(
        required=False, default="", max_length=2000, help_text="Metrics to tell of each run, separated by commas."
    )


class ViewsQuery(serializers.Serializer[Any]):
    workspace = serializers.SlugField(required=False, default="")
    page = serializers.ChoiceField(choices=ViewPage.choices, required=False, default="")
