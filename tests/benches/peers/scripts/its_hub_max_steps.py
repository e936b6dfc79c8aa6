from its_hub import AbstractLanguageModel
from its_hub.core.lms.step_generation import StepGeneration


class Model(AbstractLanguageModel):
    async def agenerate(self, messages, stop=None, **kwargs):
        return {"role": "assistant", "content": "step"}


generation, steps, stopped = StepGeneration(max_steps=2, step_token="\n"), [], False
while not stopped:
    step, stopped = generation.forward(Model(), "?", steps)
    steps.append(step)
print(len(steps), "steps with max_steps=2")
