"""Settings: one file, values from the environment, safe for a single machine by default."""

import os
import secrets
from pathlib import Path
from urllib.parse import unquote, urlparse

from webapp.embedded import paths as embedded
from webapp.env import env_bool, env_int, env_list, env_str

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(env_str("KUMITE_VAR", str(BASE_DIR / "var")))
ARTIFACTS_DIR = Path(env_str("KUMITE_ARTIFACTS", str(VAR_DIR / "artifacts")))
"""Each run's folder is ``ARTIFACTS_DIR/runs/<run id>``; made models are cached under ``ARTIFACTS_DIR/models``."""
DATA_DIR = Path(env_str("KUMITE_DATA", str(VAR_DIR / "data")))
"""Data sets of the installation: ``.jsonl`` files that the compose page lists and shows. Workers read it under the same path."""

DEBUG = env_bool("KUMITE_DEBUG", False)


def _secret_key() -> str:
    if key := env_str("KUMITE_SECRET_KEY", ""):
        return key
    path = VAR_DIR / "secret_key"
    if not path.exists():
        VAR_DIR.mkdir(parents=True, exist_ok=True)
        aside = VAR_DIR / f"secret_key.{os.getpid()}"
        aside.write_text(secrets.token_urlsafe(50), encoding="utf-8")
        aside.chmod(0o600)
        try:
            os.link(aside, path)  # atomic, and the first process wins
        except FileExistsError:
            pass
        aside.unlink()
    return path.read_text(encoding="utf-8")


SECRET_KEY = _secret_key()
ALLOWED_HOSTS = env_list("KUMITE_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("KUMITE_TRUSTED_ORIGINS", "")
BEHIND_TLS = env_bool("KUMITE_BEHIND_TLS", False)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "channels",
    "allauth",
    "allauth.account",
    "rest_framework",
    "drf_spectacular",
    "django_htmx",
    "csp",
    "webapp.accounts",
    "webapp.workspaces",
    "webapp.experiments",
    "webapp.telemetry",
    "webapp.orders",
    "webapp.sources",
    "webapp.compare",
    "webapp.review",
    "webapp.live",
    "webapp.fleet",
    "webapp.notices",
    "webapp.jobs",
    "webapp.arena",
    "webapp.reports",
    "webapp.library",
    "webapp.api",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "webapp.middleware.refuse_nul",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "webapp.urls"
ASGI_APPLICATION = "webapp.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "webapp.pages.context.shell",
            ],
            "builtins": ["webapp.pages.tags"],
        },
    },
]


def _database() -> dict[str, object]:
    """``DATABASE_URL=postgresql://user:password@host:port/name``; without it the embedded server under var/."""
    url = urlparse(env_str("DATABASE_URL", embedded.database_url(VAR_DIR)))
    query = dict(part.split("=", 1) for part in url.query.split("&") if "=" in part)
    # A process that is frozen in the middle of a transaction must not keep its locks: the reaper passes locked runs by.
    query.setdefault(
        "options", f"-c idle_in_transaction_session_timeout={1000 * env_int('KUMITE_IDLE_TRANSACTION_S', 30)}"
    )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(url.path.lstrip("/")),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": unquote(query.pop("host", url.hostname or "")),
        "PORT": str(url.port or ""),
        "OPTIONS": query,
        "CONN_HEALTH_CHECKS": True,
    }


DATABASES = {"default": _database()}
REDIS_URL = env_str("REDIS_URL", embedded.redis_url(VAR_DIR))

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "global_keyprefix": "kumite:celery:",
    "visibility_timeout": 3600,
    "socket_connect_timeout": 2,
}
CELERY_TASK_IGNORE_RESULT = True

CACHES = {
    "default": {
        "BACKEND": "webapp.cache.AbsentableRedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "kumite",
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},
    }
}

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = True
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
SESSION_COOKIE_AGE = 60 * 60 * env_int("KUMITE_SESSION_HOURS", 24 * 14)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_TLS else None
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        # The hash is that of the empty string: Plotly adds an empty style element and fills it through the CSSOM.
        "style-src": ["'self'", "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"],
        "img-src": ["'self'", "data:", "blob:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

STATIC_URL = "/static/"
STATIC_ROOT = Path(env_str("KUMITE_STATIC_ROOT", str(VAR_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # Collecting leaves a compressed copy beside each file, which is what browsers get.
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}

SITE_URL = env_str("KUMITE_SITE_URL", "http://localhost:8000").rstrip("/")
"""Where people reach this site; links in e-mails and webhooks begin with it."""
_mail = urlparse(env_str("KUMITE_EMAIL_URL", ""))
"""``smtp://user:password@host:587`` or ``smtps://…:465``; without it no e-mail is sent."""
EMAIL_HOST, EMAIL_PORT = _mail.hostname or "", _mail.port or (465 if _mail.scheme == "smtps" else 587)
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(_mail.username or ""), unquote(_mail.password or "")
EMAIL_USE_SSL, EMAIL_USE_TLS = _mail.scheme == "smtps", _mail.scheme == "smtp" and "tls=0" not in _mail.query
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env_str("KUMITE_EMAIL_FROM", "kumite@localhost")
METRICS_TOKEN = env_str("KUMITE_METRICS_TOKEN", "")
WEBHOOK_PRIVATE = env_bool("KUMITE_WEBHOOK_PRIVATE", False)
"""Whether webhooks may call addresses of this machine's own network."""

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "webapp.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PARSER_CLASSES": ["webapp.api.parsers.BoundedJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "webapp.api.pagination.NewestFirst",
    "DEFAULT_THROTTLE_CLASSES": ["webapp.api.throttling.ReadThrottle", "webapp.api.throttling.WriteThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "read": env_str("KUMITE_API_READ_RATE", "1200/min"),
        "write": env_str("KUMITE_API_WRITE_RATE", "120/min"),
        "values": env_str("KUMITE_API_VALUES_RATE", "1200/min"),
    },
    "EXCEPTION_HANDLER": "webapp.api.errors.answer_with_error",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Kumite",
    "DESCRIPTION": "Compose, run and watch language models that improve by self-play.",
    "VERSION": "0.4.0",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "RunStatus": "webapp.experiments.choices.RunStatus",
        "JobStatus": "webapp.jobs.choices.JobStatus",
        "JobKind": "webapp.jobs.choices.JobKind",
        "MemberRole": "webapp.workspaces.choices.MemberRole",
        "ChannelKind": "webapp.notices.choices.ChannelKind",
        "NoticeKind": "webapp.notices.choices.NoticeKind",
        "RubricKind": "webapp.api.views.rubrics.KINDS",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "webapp.api.schema.add_spec_components",
    ],
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": env_str("KUMITE_LOG_LEVEL", "INFO")},
    "loggers": {"fontTools": {"level": "WARNING"}},  # it tells of every table of a font it leaves out
}
