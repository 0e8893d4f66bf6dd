from django.apps import AppConfig


class LiveConfig(AppConfig):
    name = "webapp.live"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from webapp.live import signals  # noqa: F401 - connects its receivers
