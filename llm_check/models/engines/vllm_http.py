"""HTTP to one or several servers: the key, patience, several tries, and one clear error in the end.

A try fails on a refused or broken connection, a time-out, a busy or failing server (429, 5xx), a body that is not
JSON, or an answer that its `check` calls wrong (`WrongAnswer`); the next try goes to the next server of the list.
A request that the server rejects (other 4xx, redirects) would be rejected again: that ends the matter at once.

The API key is read from the environment variable VLLM_API_KEY, lives in the client's headers alone, and is struck out
of whatever a server says before that is shown.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2

from gsi_theory.errors import InputError
from gsi_theory.types import Json, Record
from llm_check.models.engines.token_engine import WrongAnswer

__all__ = ["KEY_VARIABLE", "Servers", "open_servers"]

KEY_VARIABLE = "VLLM_API_KEY"
CONNECT_SECONDS = 10.0
MAX_BACKOFF = 30.0

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Servers:
    """Base URLs and how to ask them. attempts: tries per request; backoff: seconds before the second try, doubled
    each time; concurrency: requests in flight."""

    urls: tuple[str, ...]
    attempts: int = 5
    backoff: float = 0.5
    concurrency: int = 32
    client: httpx2.Client = field(default_factory=httpx2.Client, repr=False)

    def get(self, url: str, path: str) -> Json | None:
        """The JSON at a path of one server, None where it has no such path. Errors as `ask`."""
        missing: dict[str, None] = {"missing": None}

        def attempt(_: str) -> Json:
            response = self.client.get(url + path)
            return missing if response.status_code in (404, 405, 501) else _json_of(response, url)

        answer = self._persist(attempt, [url], f"start-up check of {url} ({path})")
        return None if answer is missing else answer

    def ask(self, path: str, body: Record, check: Callable[[Json], Answer], place: str, first: int = 0) -> Answer:
        """What `check` makes of the JSON answer; the first try goes to server number `first`, the next to the next.

        Raises InputError, naming `place`, the servers and the cure, after `attempts` failures or one rejection.
        """
        start = first % len(self.urls)
        order = self.urls[start:] + self.urls[:start]
        return self._persist(lambda url: check(_json_of(self.client.post(url + path, json=body), url)), order, place)

    def ask_all(self, jobs: Sequence[Callable[[int], Answer]]) -> list[Answer]:
        """The answers of all jobs, in order, `concurrency` at a time; job j is given j as the number of its first
        server. The first failure cancels the jobs that have not started, and is raised."""
        if len(jobs) == 1:
            return [jobs[0](0)]
        with ThreadPoolExecutor(min(self.concurrency, len(jobs)), thread_name_prefix="vllm") as pool:
            futures: list[Future[Answer]] = [pool.submit(job, j) for j, job in enumerate(jobs)]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _persist(self, attempt: Callable[[str], Answer], order: Sequence[str], place: str) -> Answer:
        """The first good answer of up to `attempts` tries over the servers in `order`."""
        for number in range(self.attempts):
            url = order[number % len(order)]
            try:
                return attempt(url)
            except httpx2.TimeoutException as error:
                reason = f"{url} did not answer in time ({type(error).__name__})"
            except httpx2.HTTPError as error:
                reason = f"{url}: {type(error).__name__}: {self._safe(str(error))}"
            except WrongAnswer as error:
                reason = f"{url}: {self._safe(str(error))}"
            except _Rejected as error:
                raise InputError(f"{place}: {self._safe(str(error))}") from None
            if number + 1 < self.attempts:
                time.sleep(min(MAX_BACKOFF, self.backoff * 2**number))
        raise InputError(
            f"{place}: no usable answer in {self.attempts} tries (last: {reason}): check that vLLM runs at "
            f"{', '.join(dict.fromkeys(order))} and its log, then run again; nothing of this request was kept"
        )

    def _safe(self, text: str) -> str:
        """Text of a server, one line, bounded, escaped, without the key."""
        key = self.client.headers.get("authorization", "").removeprefix("Bearer ")
        shown = text.replace(key, "***") if key else text
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)[:400]


class _Rejected(Exception):
    """The server understood the request and will not do it."""


def _json_of(response: httpx2.Response, url: str) -> Json:
    status = response.status_code
    if status in (401, 403):
        raise _Rejected(f"{url} refused the key (HTTP {status}): set {KEY_VARIABLE} to the server's --api-key")
    if status == 429 or status >= 500:
        raise WrongAnswer(f"HTTP {status}: {response.text}")
    if status != 200:
        raise _Rejected(f"{url} rejected the request (HTTP {status}: {response.text})")
    try:
        return response.json()
    except ValueError as error:
        raise WrongAnswer(f"a body of {len(response.content)} bytes that is not JSON ({error})") from None


def _checked_url(url: str) -> str:
    parts = urlsplit(url.strip())
    if parts.username or parts.password:
        raise InputError(f"a server's URL holds a name or password: leave it out and set {KEY_VARIABLE} instead")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InputError(f"server {url.strip()!r} is no URL of a server: give http://host:port")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/").removesuffix("/v1")


def open_servers(
    urls: Sequence[str], timeout: float = 600.0, attempts: int = 5, backoff: float = 0.5, concurrency: int = 32
) -> Servers:
    """Servers at base URLs (http://host:port); nothing is sent yet. timeout: seconds without a byte from the server.

    Proxies and .netrc of the environment are not used. Raises InputError for what is no URL, a URL with a password,
    the same server twice, or a number out of range.
    """
    for name, value, least in (
        ("timeout", timeout, 0.001),
        ("attempts", attempts, 1),
        ("backoff", backoff, 0),
        ("concurrency", concurrency, 1),
    ):
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
            raise InputError(f"option {name} of the servers is {value!r}: give a number of at least {least}")
    checked = tuple(_checked_url(url) for url in urls)
    if len(set(checked)) < len(checked):
        raise InputError(f"a server is named twice in {', '.join(checked)}: name each once")
    key = os.environ.get(KEY_VARIABLE, "")
    client = httpx2.Client(
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx2.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
        limits=httpx2.Limits(max_connections=int(concurrency), max_keepalive_connections=int(concurrency)),
        trust_env=False,
    )
    servers = Servers(checked, int(attempts), float(backoff), int(concurrency), client)
    weakref.finalize(servers, client.close)
    return servers
