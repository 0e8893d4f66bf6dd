from django.urls import path

from webapp.library import rubric_views, views

urlpatterns = [
    path("", views.library, name="library"),
    path("checkpoints/", views.checkpoints, name="checkpoints"),
    path("checkpoints/remove/", views.remove_checkpoints, name="remove_checkpoints"),
    path("checkpoints/<uuid:run_id>/<int:step>/name/", views.name_checkpoint, name="name_checkpoint"),
    path("checkpoints/<uuid:run_id>/<int:step>/export/", views.export_checkpoint, name="export_checkpoint"),
    path("datasets/", views.dataset_list, name="datasets"),
    path("datasets/upload/", views.upload_dataset, name="upload_dataset"),
    path("datasets/versions/<int:version_id>/file/", views.dataset_file, name="dataset_file"),
    path("datasets/<uuid:dataset_id>/retire/", views.retire_dataset, name="retire_dataset"),
    path("rubrics/", rubric_views.rubric_list, name="rubrics"),
    path("rubrics/new/", rubric_views.new_rubric, name="new_rubric"),
    path("rubrics/<uuid:rubric_id>/", rubric_views.rubric, name="rubric"),
    path("rubrics/<uuid:rubric_id>/save/", rubric_views.save_rubric_version, name="save_rubric_version"),
    path("rubrics/<uuid:rubric_id>/retire/", rubric_views.retire_rubric, name="retire_rubric"),
]
