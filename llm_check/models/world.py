"""Two policies, a reward model, a task and a step rule, loaded together: the embedded world, or what a user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gsi_theory.errors import InputError
from gsi_theory.types import Record
from llm_check.models.decoding.delimiter import end_of_sequence_ids
from llm_check.models.decoding.positions import Prompt
from llm_check.models.decoding.prompting import require_same_prompts, template_record
from llm_check.models.decoding.reasoning_steps import StepRule, parse_step_rule
from llm_check.models.decoding.step_candidates import Models
from llm_check.models.engines.engine import Engine, require_pair
from llm_check.models.engines.load_engine import load_engine
from llm_check.models.engines.torch_threads import fastest_dtype, set_threads
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.rewards.load_reward import load_reward
from llm_check.models.rewards.reward_model import RewardModel, reward_record
from llm_check.models.tasks.load_task import WRITTEN, load_task
from llm_check.models.tasks.problem import Task
from llm_check.models.tiny import checkpoint_path

__all__ = ["World", "load_world", "transformers_pair", "world_record"]


@dataclass(frozen=True)
class World:
    """Two policies, a reward model and a task, loaded together.

    draft, base: engines with one vocabulary
    reward_model: judges steps
    rule: where a step ends
    task: problems, graders and bounds of a solution
    step: the rule as it is written
    template: how prompts are built
    drafters: further engines of the same vocabulary
    """

    draft: Engine
    base: Engine
    reward_model: RewardModel
    rule: StepRule
    task: Task
    step: str
    template: str
    drafters: tuple[Engine, ...] = ()

    @property
    def models(self) -> Models:
        """What a method draws from and scores with; every further drafter draws n."""
        return Models(self.draft, self.base, self.reward_model, self.drafters)

    @property
    def max_steps(self) -> int:
        """Steps of a solution: the task's; one where the whole answer is a step; where a step is a number of tokens, as
        many as hold the task's longest solution."""
        if self.step == "answer":
            return 1
        if self.rule.counts:
            return -(-self.task.max_steps * self.task.max_tokens // self.rule.max_tokens)
        return self.task.max_steps

    @property
    def names(self) -> dict[str, str]:
        """Short names for records, without paths of this machine."""
        usual = self.task.name in WRITTEN or self.task.reading == "boxed"
        further = {f"drafter{j}": engine.contract.model for j, engine in enumerate(self.drafters, start=1)}
        return {
            "draft": self.draft.contract.model,
            "base": self.base.contract.model,
            "reward": self.reward_model.name,
            "task": self.task.name + ("" if usual else f"?answer={self.task.reading}"),
            **further,
        }

    def prompts(self) -> list[Prompt]:
        """Every problem's prompt, the same ids for all policies; InputError where their templates differ."""
        prompts = self.task.prompts(self.draft.tokenizer, self.template)
        for engine in (self.base, *self.drafters):
            require_same_prompts(prompts, self.task.prompts(engine.tokenizer, self.template), self.draft.tokenizer)
        return prompts


def load_world(
    draft: str | Path | None = None,
    base: str | Path | None = None,
    reward: str | Path | None = None,
    max_tokens: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    *,
    task: str | None = None,
    step: str | None = None,
    template: str | None = None,
    instruction: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    drafters: Sequence[str | Path] = (),
    temperature: float = 1.0,
) -> World:
    """Load what is named; None takes the embedded world's, and the task's own step, longest step and template.

    draft, base, drafters: specs of `engines.load.load_engine`; reward: of `rewards.load.load_reward`; task: of
    `tasks.load.load_task`, `limit` problems chosen by `seed`; instruction: what a prompt says beside the question;
    step: of `steps.parse_step_rule`; temperature: that all policies are sampled and scored at. Raises InputError for
    what cannot be loaded or does not match. dtype "auto" is `fastest_dtype`. Sets the threads of torch
    (`engines.torch_threads`).
    """
    loaded_task = load_task(task or "arithmetic", limit=limit, seed=seed)
    if instruction is not None:
        loaded_task = replace(loaded_task, instruction=instruction)
    _require_instruction_used(instruction, template or loaded_task.template)
    set_threads(embedded=draft is None and base is None)
    dtype = fastest_dtype() if dtype == "auto" else dtype
    places = (draft or checkpoint_path("draft"), base or checkpoint_path("base"), *drafters)
    engines = [load_engine(str(place), device=device, dtype=dtype, temperature=temperature) for place in places]
    for engine in (engines[0], *engines[2:]):
        require_pair(engine, engines[1])
    tokenizer = engines[0].tokenizer
    spec = step or loaded_task.step_spec
    ends = frozenset().union(*(end_of_sequence_ids(engine.tokenizer) for engine in engines))
    return World(
        draft=engines[0],
        base=engines[1],
        reward_model=load_reward(str(reward or checkpoint_path("prm")), tokenizer, device=device, dtype=dtype),
        rule=parse_step_rule(spec, tokenizer, max_tokens or loaded_task.max_tokens, ends),
        task=loaded_task,
        step=spec,
        template=template or loaded_task.template,
        drafters=tuple(engines[2:]),
    )


def world_record(world: World) -> Record:
    """What was run, for records: models with their contracts, reward model, task and where its problems came from (no
    folders of this machine), prompts, and where steps end."""
    task, engines = world.task, {"draft": world.draft, "base": world.base}
    return {
        **world.names,
        "contracts": {name: asdict(engine.contract) for name, engine in engines.items()},
        "reward": reward_record(world.reward_model),
        "source": task.source if task.source.startswith("hub:") else Path(task.source).name,
        "step": world.step,
        "max_tokens": world.rule.max_tokens,
        "max_steps": world.max_steps,
        "answer": task.reading,
        "prompts": template_record(world.draft.tokenizer, task.instruction, world.template, task.turns),
    }


def transformers_pair(world: World) -> tuple[TransformersEngine, TransformersEngine]:
    """Draft and base of a world whose models run in this process. InputError for others: what enumerates next steps or
    compares full forwards needs the models themselves."""
    for engine in (world.draft, world.base):
        if not isinstance(engine, TransformersEngine):
            cure = "give a checkpoint folder that transformers loads"
            raise InputError(f"{engine.contract.model} runs on {engine.contract.engine}, outside this process: {cure}")
    assert isinstance(world.draft, TransformersEngine) and isinstance(world.base, TransformersEngine)
    return world.draft, world.base


def _require_instruction_used(instruction: str | None, template: str) -> None:
    if instruction and template == "bare":
        raise InputError(
            "--instruction with template bare, which puts the question alone: give --template chat or plain"
        )
