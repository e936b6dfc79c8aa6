"""Pages in headless Chromium, from a server of this machine; tests that need it are skipped where it is absent."""

from __future__ import annotations

import functools
import html
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gsi_theory.types import Json

__all__ = ["driven", "needs_browser", "output", "served", "shown"]

BROWSER = next((b for b in ("chromium", "chromium-browser", "google-chrome") if shutil.which(b)), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt-get install chromium")

_DRIVER = """<!DOCTYPE html><meta charset="utf-8"><pre id="log"></pre>
<iframe id="page" src="{address}" style="width: {width}px; height: 900px; border: 0"></iframe>
<script>
document.getElementById("page").onload = (event) => {{
  const view = event.target.contentWindow, page = view.document;
  const log = [];
  {script}
  document.getElementById("log").textContent = JSON.stringify({{ log, hash: view.location.hash }});
}};
</script>"""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of the folder's files while it is served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def shown(place: str) -> str:
    """The document after its scripts ran."""
    assert BROWSER is not None
    call = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom", place]
    return subprocess.run(call, capture_output=True, text=True, timeout=120, check=True).stdout


def output(text: str, name: str) -> str:
    """The text of the element of a document with the id `name`."""
    found = re.search(rf'id="{name}"[^>]*>([^<]*)<', text)
    assert found is not None, name
    return html.unescape(found[1])


def driven(folder: Path, page: str, script: str, width: int = 400) -> Json:
    """What `script` logs (log.push) with the page of the folder in a window so wide: {"log": [...], "hash": "#..."}.

    `view` and `page` are its window and document. (A window of its own cannot be narrower than about 500 pixels.)
    """
    driver = folder / "driver.html"
    driver.write_text(_DRIVER.format(address=page, width=width, script=script), encoding="utf-8")
    try:
        with served(folder) as address:
            return json.loads(output(shown(f"{address}/driver.html"), "log"))
    finally:
        driver.unlink()
