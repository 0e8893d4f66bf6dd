from django.urls import path

from webapp.review import dry_run_views, note_views, set_views, views

urlpatterns = [
    path("review/", views.review, name="review"),
    path("review/waiting/", views.waiting, name="reviews_waiting"),
    path("review/item/", views.item, name="review_item"),
    path("review/side/", views.side, name="review_side"),
    path("review/answer/", views.answer, name="review_answer"),
    path("review/undo/", views.undo, name="review_undo"),
    path("runs/<uuid:run_id>/comments/", note_views.add_comment, name="add_comment"),
    path("runs/<uuid:run_id>/remarks/", note_views.remarks, name="run_remarks"),
    path("comments/<int:comment_id>/edit/", note_views.edit_comment, name="edit_comment"),
    path("comments/<int:comment_id>/delete/", note_views.delete_comment, name="delete_comment"),
    path("runs/<uuid:run_id>/mark/", note_views.mark, name="mark_sample"),
    path("review/sets/", set_views.sets, name="review_sets"),
    path("review/again/", set_views.again, name="grade_again"),
    path("review/again/words/", set_views.again_words, name="again_words"),
    path("library/rubrics/<uuid:rubric_id>/dry-run/", dry_run_views.try_rubric, name="try_rubric"),
    path("compose/dry-run/", dry_run_views.try_composition, name="try_composition"),
    path("dry-runs/<uuid:job_id>/", dry_run_views.dry_run, name="dry_run"),
    path("dry-runs/<uuid:job_id>/stop/", dry_run_views.stop_dry_run, name="stop_dry_run"),
    path("review/again/<int:regrading_id>/", set_views.regraded, name="regraded"),
]
