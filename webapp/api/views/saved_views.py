"""Saved views of the list of runs and of the Compare page."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.api.errors import refusals_as_errors
from webapp.api.filters import ViewsQuery
from webapp.api.pagination import ByName
from webapp.api.serializers import ErrorAnswer, SavedViewSerializer
from webapp.api.views.base import Endpoint, valid_body, valid_query
from webapp.compare.models import SavedViewQuerySet
from webapp.compare.selectors import views_visible_to
from webapp.compare.services import delete_view, save_view
from webapp.workspaces.selectors import workspace_for


class SavedViews(Endpoint):
    serializer_class = SavedViewSerializer
    pagination_class = ByName

    def get_queryset(self) -> SavedViewQuerySet:
        wanted = valid_query(ViewsQuery, self.request)
        paths = {"workspace__slug": wanted["workspace"], "page": wanted["page"]}
        return views_visible_to(self.person()).filter(**{path: value for path, value in paths.items() if value})

    @extend_schema(
        operation_id="views_list", tags=["views"], parameters=[ViewsQuery], responses=SavedViewSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """Saved views of your workspaces, by name."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(SavedViewSerializer(page, many=True).data)

    @extend_schema(operation_id="views_save", tags=["views"], responses={201: SavedViewSerializer, 400: ErrorAnswer})
    def post(self, request: Request) -> Response:
        """Keep a view; one of the same name is replaced."""
        wanted = valid_body(SavedViewSerializer, request)
        workspace = workspace_for(self.person(), wanted.pop("workspace")["slug"])
        with refusals_as_errors():
            view = save_view(actor=self.person(), workspace=workspace, **wanted)
        return Response(SavedViewSerializer(view).data, status=status.HTTP_201_CREATED)


class SavedViewDetail(Endpoint):
    serializer_class = SavedViewSerializer

    @extend_schema(operation_id="views_delete", tags=["views"], responses={204: None})
    def delete(self, request: Request, view_id: UUID) -> Response:
        """Forget a saved view."""
        delete_view(actor=self.person(), view_id=view_id)
        return Response(status=status.HTTP_204_NO_CONTENT)
