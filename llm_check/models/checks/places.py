"""Where checks look: positions of the task that was asked for, the same for every check of it."""

from __future__ import annotations

from collections.abc import Sequence

from llm_check.models.collecting.collect import sampled_paths
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.reasoning_steps import require_candidates
from llm_check.models.decoding.solution import require_prompt_room
from llm_check.models.engines.engine_memory import require_step_memory
from llm_check.models.tiny.exact_steps import checked_positions
from llm_check.models.world import World

__all__ = ["is_embedded_task", "places_of", "require_room", "sampled_positions"]


def is_embedded_task(world: World) -> bool:
    """Whether the problems asked for are the embedded test problems in their own prompts."""
    return world.task.source == "arithmetic:test" and (world.template, world.task.instruction) == ("bare", "")


def places_of(world: World, seed: int, count: int) -> list[Position]:
    """One position for each of at most `count` problems of the world's task: on reference solutions where it is the
    embedded one in its own prompts, else on the base's own (`sampled_positions`)."""
    return (checked_positions if is_embedded_task(world) else sampled_positions)(world, seed, count)


def require_room(world: World, places: Sequence[Position], candidates: int, named: str) -> None:
    """Raise InputError unless memory holds so many candidates at any one of the positions, on both models."""
    require_candidates(candidates, 1, world.rule, named)
    longest = max(len(place.prefix) for place in places)
    cure = "take fewer of them (--set), or shorter steps (--max-tokens)"
    require_step_memory((world.draft, world.base), 1, longest, candidates, world.rule, named, cure)


def sampled_positions(world: World, seed: int, count: int) -> list[Position]:
    """One position for each of the first `count` prompts, on a solution that the base samples: before its step 0, 1, 2
    or 3 in turn, or its last step where it has fewer. Raises InputError for a prompt too long for the models."""
    prompts = world.prompts()[:count]
    require_prompt_room(world.models, prompts, world.rule)
    deepest = min(3, world.max_steps - 1)
    paths = sampled_paths(world.base, world.rule, prompts, deepest, seed)
    return [
        Position(path.prompt, path.path[: min(i % (deepest + 1), len(path.path) - 1)]) for i, path in enumerate(paths)
    ]
