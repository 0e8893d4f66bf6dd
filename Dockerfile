# syntax=docker/dockerfile:1
# Targets: "web" (site and beat, without torch) and "worker" (training). VARIANT=gpu adds vLLM.
# pip takes the index of a CPU-only torch from PIP_EXTRA_INDEX_URL; docs/operate.md says which one.

FROM python:3.11-slim-bookworm AS build
ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_EXTRA_INDEX_URL=${PIP_EXTRA_INDEX_URL} PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
WORKDIR /kumite
COPY requirements requirements
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install -c requirements/constraints.txt -r requirements/base.txt -r requirements/web.txt
COPY pyproject.toml README.md manage.py ./
COPY training_core training_core
COPY workers workers
COPY webapp webapp
COPY kumite kumite
COPY templates templates
COPY static static
COPY docs docs
RUN pip install --no-deps --no-build-isolation --editable . \
    && KUMITE_VAR=/tmp/build KUMITE_STATIC_ROOT=/kumite/collected python manage.py collectstatic --no-input

FROM build AS build-worker
ARG VARIANT=cpu
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install -c requirements/constraints.txt "torch==2.13.0" \
    && pip install -c requirements/constraints.txt -r requirements/core.txt \
    && if [ "$VARIANT" = gpu ]; then pip install -r requirements/gpu.txt "torch==2.13.0" "transformers==5.19.0"; fi

FROM python:3.11-slim-bookworm AS base
RUN groupadd --gid 10001 kumite && useradd --uid 10001 --gid kumite --home-dir /data --shell /usr/sbin/nologin kumite \
    && install -d -o kumite -g kumite -m 0750 /data
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    KUMITE_VAR=/data KUMITE_STATIC_ROOT=/kumite/collected DJANGO_SETTINGS_MODULE=webapp.settings
WORKDIR /kumite
VOLUME /data

FROM base AS web
COPY --from=build /venv /venv
COPY --from=build /kumite /kumite
USER kumite
EXPOSE 8000
CMD ["python", "-m", "uvicorn", "webapp.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--ws-max-size", "65536", "--ws-ping-interval", "20", "--timeout-graceful-shutdown", "20"]

FROM base AS worker
COPY --from=build-worker /venv /venv
COPY --from=build-worker /kumite /kumite
USER kumite
CMD ["python", "-m", "workers", "worker"]
