"""The real vLLM on the embedded pair. Collected only where the package is installed: `make test-vllm` sets it up, and
there a missing package ends in "no tests ran", which is a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llm_check.models.tiny import checkpoint_path
from llm_check.models.tiny.widen import widen_checkpoint
from tests.vllm.real_server import RealServer

if TYPE_CHECKING:
    from llm_check.models.engines.token_engine import TokenEngine

HERE = Path(__file__).parent
collect_ignore_glob = [] if find_spec("vllm") else ["test_*.py"]
# One GiB of key-value cache; unset, vLLM's CPU build takes half of the machine's memory for each engine.
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """vLLM's imports warn about their own dependencies; ours stay errors in the other folders."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders draft and base: the embedded pair with heads that vLLM's CPU build has kernels for."""
    out = tmp_path_factory.mktemp("wide")
    for name in ("draft", "base"):
        widen_checkpoint(checkpoint_path(name), out / name)
    return out


@pytest.fixture(scope="session")
def offline(wide: Path) -> Iterator[dict[str, TokenEngine]]:
    """vLLM in this process on draft and base, with the smallest cache blocks, so that short prefixes are cached."""
    from llm_check.models.engines.load_engine import load_engine

    engines: dict[str, Any] = {
        name: load_engine(f"vllm:{wide / name}?enforce_eager=true&block_size=32") for name in ("draft", "base")
    }
    yield engines
    # Left to the end of the process, vLLM would log into streams that pytest has closed.
    for engine in engines.values():
        engine.service.llm.llm_engine.engine_core.shutdown()


@pytest.fixture(scope="session")
def modules() -> dict[str, Any]:
    """transformers' modules of the embedded pair as shipped: the oracle knows nothing of the widened heads."""
    from transformers import AutoModelForCausalLM

    return {
        name: AutoModelForCausalLM.from_pretrained(checkpoint_path(name), dtype="float32").eval()
        for name in ("draft", "base")
    }


@pytest.fixture(scope="session")
def real_servers(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RealServer]]:
    """`vllm serve` on draft and base."""
    logs = tmp_path_factory.mktemp("logs")
    servers = {name: RealServer(wide / name, logs / f"{name}.log").start() for name in ("draft", "base")}
    try:
        yield {name: server.wait() for name, server in servers.items()}
    finally:
        for server in servers.values():
            server.kill()
