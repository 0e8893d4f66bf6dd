"""Home, the list of runs, saved views, and the page that lays runs side by side."""

from django.urls import path

from webapp.compare import experiment, guide, home, page, runs

urlpatterns = [
    path("", home.home, name="home"),
    path("first-steps/", guide.hide, name="hide_first_steps"),
    path("runs/", runs.runs, name="runs"),
    path("runs/chosen/", runs.runs_chosen, name="runs_chosen"),
    path("experiments/<uuid:experiment_id>/seeds/", experiment.seeds, name="experiment_seeds"),
    path("compare/", page.compare, name="compare"),
    path("compare/lines/", page.lines, name="compare_lines"),
    path("compare/export/", page.export, name="compare_export"),
    path("views/", runs.save_view, name="save_view"),
    path("views/<uuid:view_id>/", runs.view, name="saved_view"),
    path("views/<uuid:view_id>/delete/", runs.delete_view, name="delete_view"),
]
