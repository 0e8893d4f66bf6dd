from django.urls import path

from webapp.reports import views

urlpatterns = [
    path("reports/", views.reports, name="reports"),
    path("reports/new/", views.new_report, name="new_report"),
    path("reports/<uuid:report_id>/", views.report, name="report"),
    path("reports/<uuid:report_id>/panels/", views.panels, name="report_panels"),
    path("reports/<uuid:report_id>/edit/", views.edit_report, name="edit_report"),
    path("reports/<uuid:report_id>/archive/", views.archive_report, name="archive_report"),
    path("reports/<uuid:report_id>/share/", views.share_report, name="share_report"),
    path("reports/<uuid:report_id>/links/<int:link_id>/revoke/", views.revoke_report_link, name="revoke_report_link"),
    path("reports/<uuid:report_id>/report.html", views.report_file, {"kind": "html"}, name="report_html"),
    path("reports/<uuid:report_id>/report.pdf", views.report_file, {"kind": "pdf"}, name="report_pdf"),
    path("r/<str:secret>/", views.shared_report, name="shared_report"),
    path("r/<str:secret>/panels/", views.shared_panels, name="shared_report_panels"),
    path("r/<str:secret>/report.html", views.shared_report_file, {"kind": "html"}, name="shared_report_html"),
    path("r/<str:secret>/report.pdf", views.shared_report_file, {"kind": "pdf"}, name="shared_report_pdf"),
    path("runs/<uuid:run_id>/passport/", views.passport, name="passport"),
    path("runs/<uuid:run_id>/passport.json", views.passport, {"kind": "json"}, name="passport_json"),
    path("runs/<uuid:run_id>/passport.pdf", views.passport, {"kind": "pdf"}, name="passport_pdf"),
]
