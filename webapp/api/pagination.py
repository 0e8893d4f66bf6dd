"""Lists come in pages that stay right while rows are added: follow ``next`` until it is null."""

from rest_framework.pagination import CursorPagination


class NewestFirst(CursorPagination):
    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"
    ordering = ("-created_at", "id")


class ByName(CursorPagination):
    page_size = 100
    ordering = ("name", "id")
