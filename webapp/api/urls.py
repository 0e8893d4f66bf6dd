"""Addresses of the HTTP API, below /api/v1/."""

from django.urls import URLPattern, path
from drf_spectacular.views import SpectacularJSONAPIView

from webapp.api.views import (
    account,
    example,
    experiments,
    external,
    jobs,
    methods,
    orders,
    review,
    runs,
    saved_views,
    sources,
    telemetry,
    templates,
)

RUN = "runs/<uuid:run_id>/"

urlpatterns: list[URLPattern] = [
    path("schema/", SpectacularJSONAPIView.as_view(), name="api_schema"),
    path("me/", account.Me.as_view(), name="api_me"),
    path("tokens/", account.Tokens.as_view(), name="api_tokens"),
    path("tokens/<int:token_id>/", account.TokenDetail.as_view(), name="api_token"),
    path("workspaces/", account.Workspaces.as_view(), name="api_workspaces"),
    path("workspaces/<slug:slug>/", account.WorkspaceDetail.as_view(), name="api_workspace"),
    path("workspaces/<slug:slug>/example/", example.Example.as_view(), name="api_example"),
    path("methods/", methods.Methods.as_view(), name="api_methods"),
    path("methods/<slug:slug>/", methods.MethodDetail.as_view(), name="api_method"),
    path("specs/validate/", methods.ValidateSpec.as_view(), name="api_validate"),
    path("experiments/", experiments.Experiments.as_view(), name="api_experiments"),
    path("experiments/<uuid:experiment_id>/", experiments.ExperimentDetail.as_view(), name="api_experiment"),
    path("experiments/<uuid:experiment_id>/runs/", experiments.Launch.as_view(), name="api_launch"),
    path("external-runs/", external.ExternalRuns.as_view(), name="api_external_runs"),
    path("external-runs/<uuid:run_id>/values/", external.ExternalValues.as_view(), name="api_external_values"),
    path("external-runs/<uuid:run_id>/finish/", external.ExternalFinish.as_view(), name="api_external_finish"),
    path("jobs/", jobs.Jobs.as_view(), name="api_jobs"),
    path("jobs/<uuid:job_id>/", jobs.JobDetail.as_view(), name="api_job"),
    path("jobs/<uuid:job_id>/cancel/", jobs.JobCancel.as_view(), name="api_job_cancel"),
    path("jobs/<uuid:job_id>/file/", jobs.JobFile.as_view(), name="api_job_file"),
    path("templates/", templates.Templates.as_view(), name="api_templates"),
    path("templates/<uuid:template_id>/", templates.TemplateDetail.as_view(), name="api_template"),
    path("views/", saved_views.SavedViews.as_view(), name="api_views"),
    path("views/<uuid:view_id>/", saved_views.SavedViewDetail.as_view(), name="api_view"),
    path("review/", review.Queue.as_view(), name="api_review"),
    path("review/item/", review.ReviewItem.as_view(), name="api_review_item"),
    path("calibration-sets/", review.CalibrationSets.as_view(), name="api_calibration_sets"),
    path("calibration-sets/<int:version_id>/file/", review.CalibrationFile.as_view(), name="api_calibration_file"),
    path("runs/", runs.Runs.as_view(), name="api_runs"),
    path(RUN, runs.RunDetail.as_view(), name="api_run"),
    *(
        path(f"{RUN}{action}/", runs.RunControl.as_view(action=action), name=f"api_{action}")
        for action in runs.RunControl.actions
    ),
    path(f"{RUN}orders/", orders.Orders.as_view(), name="api_orders"),
    path(f"{RUN}orders/<int:number>/", orders.OrderDetail.as_view(), name="api_order"),
    path(f"{RUN}share-links/", runs.ShareLinks.as_view(), name="api_share_links"),
    path(f"{RUN}share-links/<int:link_id>/", runs.ShareLinkDetail.as_view(), name="api_share_link"),
    path(f"{RUN}export/", telemetry.Export.as_view(), name="api_export"),
    path(f"{RUN}code/", sources.Code.as_view(), name="api_code"),
    path(f"{RUN}code.zip", sources.CodeZip.as_view(), name="api_code_zip"),
    path(f"{RUN}metrics/", telemetry.Metrics.as_view(), name="api_metrics"),
    path(f"{RUN}events/", telemetry.Events.as_view(), name="api_events"),
    path(f"{RUN}samples/", telemetry.Samples.as_view(), name="api_samples"),
    path(f"{RUN}samples/<int:seq>/", telemetry.SampleDetail.as_view(), name="api_sample"),
    path(f"{RUN}evaluations/", telemetry.Evaluations.as_view(), name="api_evaluations"),
    path(f"{RUN}checkpoints/", telemetry.Checkpoints.as_view(), name="api_checkpoints"),
    path(f"{RUN}logs/", telemetry.Logs.as_view(), name="api_logs"),
]
