"""The logs of the tutorial `production`: `python -m docs.vllm_log` asks two real vLLM servers and writes them down.

Needs vLLM (`make vllm-log` runs it in the environment of `make test-vllm`). The servers hold the embedded pair, draft
and base, with the wider heads that vLLM's CPU build asks for (llm_check/models/tiny/widen.py: the same law). Answers
are kept as the servers gave them; rewards are those of the embedded process reward model.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

from docs.tutorials.log_requests import draws, scores
from gsi_theory.runs.output import atomic_write_bytes
from llm_check.models.decoding.positions import Position
from llm_check.models.tiny import checkpoint_path
from llm_check.models.tiny.widen import widen_checkpoint
from llm_check.models.world import World, load_world
from tests.vllm.real_server import RealServer

TUTORIALS = Path(__file__).parent / "tutorials"
# file -> what is sampled otherwise than by the model's own law
LOGS: dict[str, dict[str, float]] = {"vllm.jsonl.gz": {}, "vllm_cold.jsonl.gz": {"temperature": 0.7}}
PROBLEMS, DRAWS = 24, 24


def _lines(world: World, draft: str, base: str, law: dict[str, float]) -> list[object]:
    """A line for each prompt's draws, with their rewards, and one for what the base says of them."""
    lines: list[object] = []
    stop = sorted(int(token) for token in world.rule.closing_ids)
    for place, prompt in enumerate(world.prompts()):
        ends = {"max_tokens": world.rule.max_tokens, "stop_token_ids": stop, "ignore_eos": True}
        answer = draws(draft, "draft", list(prompt.ids), DRAWS, 1000 * place, **ends, **law)
        choices = sorted(answer["choices"], key=lambda choice: choice["index"])
        steps = [choice["token_ids"] for choice in choices]
        rewards = world.reward_model.score([Position(prompt)] * len(steps), steps)
        lines.append({"custom_id": prompt.prompt_id, "score": rewards.tolist(), "response": answer})
        different = [list(step) for step in dict.fromkeys(map(tuple, steps))]
        lines.append({"response": scores(base, "base", [list(prompt.ids) + step for step in different])})
    return lines


def main() -> None:
    """Write every log."""
    world = load_world(limit=PROBLEMS)
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("draft", "base"):
            widen_checkpoint(checkpoint_path(name), Path(scratch) / name)
        servers = {name: RealServer(Path(scratch) / name, Path(scratch) / f"{name}.log") for name in ("draft", "base")}
        try:
            for server in servers.values():
                server.start()
            urls = {name: server.wait().url for name, server in servers.items()}
            for name, law in LOGS.items():
                text = "".join(json.dumps(line) + "\n" for line in _lines(world, urls["draft"], urls["base"], law))
                atomic_write_bytes(TUTORIALS / name, gzip.compress(text.encode(), mtime=0))
                print(f"docs/tutorials/{name}: {len(text):,} characters")
        finally:
            for server in servers.values():
                server.kill()


if __name__ == "__main__":
    main()
