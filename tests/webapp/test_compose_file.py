"""The compose file says what we mean: no engine is needed to check that."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name in SERVICES if name not in {"postgres", "redis"}]
KNOWN_KEYS = {
    "image", "restart", "environment", "secrets", "volumes", "healthcheck", "command", "build", "depends_on", "ports",
    "init", "read_only", "tmpfs", "cap_drop", "security_opt", "stop_grace_period", "profiles", "shm_size", "deploy",
}  # fmt: skip


def test_every_service_of_a_team_is_there() -> None:
    assert set(SERVICES) == {"postgres", "redis", "migrate", "web", "beat", "worker", "worker-gpu"}
    assert SERVICES["worker-gpu"]["profiles"] == ["gpu"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_uses_known_keys_and_refers_to_what_exists(name: str) -> None:
    service = SERVICES[name]
    assert set(service) <= KNOWN_KEYS
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
    assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", ["postgres", "redis", "web", "worker", "worker-gpu"])
def test_a_service_that_stays_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


def test_only_the_site_is_reachable_and_only_from_this_machine() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"web"}
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["web"]["ports"])


def test_no_secret_stands_in_the_file() -> None:
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|SECRET|_URL", variable) or (
                variable.endswith("_FILE") and value.startswith("/run/secrets/")
            )


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_without_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    dockerfile = (ROOT / "Dockerfile").read_text()
    target = service["build"]["target"]
    stage = dockerfile.split(f"AS {target}\n", 1)[1].split("\nFROM ", 1)[0]
    assert "USER kumite" in stage


def test_every_variable_of_the_compose_file_is_a_setting() -> None:
    settings = (ROOT / "webapp" / "settings.py").read_text()
    for name in OURS:
        for variable in SERVICES[name]["environment"]:
            assert f'"{variable.removesuffix("_FILE")}"' in settings


def test_what_the_image_copies_exists() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = [source for line in re.findall(r"^COPY (?!--)(.+)$", dockerfile, re.M) for source in line.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored
