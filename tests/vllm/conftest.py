"""vLLM for real, on the CPU. Starting one takes seconds, so a module shares its engines; one worker runs all of these tests."""

import os

import pytest

from training_core.engines.vllm_setup import is_installed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/vllm/" in str(item.path):
            item.add_marker(pytest.mark.xdist_group("vllm"))


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    if is_installed():
        return
    message = "vLLM is not installed here; 'make install-vllm' does it"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
