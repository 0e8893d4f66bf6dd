"""vLLM for real, on the CPU. Starting one takes seconds, so a module shares its engines; one worker runs all of these tests."""

import os

import pytest

from training_core.engines.vllm_setup import is_installed


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    if is_installed():
        return
    message = "vLLM is not installed here; 'make install-vllm' does it"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
