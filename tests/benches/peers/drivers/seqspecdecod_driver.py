"""sequential-speculative-decoding, driven with two models that are tables and a tokenizer of numbers."""

from types import SimpleNamespace

import torch
from driver_protocol import serve
from seqspecdecod import baseline_generate, speculative_generate

END = 9  # of no model's vocabulary, where nothing ends


class Table(torch.nn.Module):
    """A language model: the next token's law depends on the last token alone; tables (V, V), the first row of which is
    the law after the prompt, the token V."""

    def __init__(self, first, after):
        super().__init__()
        rows = torch.log(torch.tensor([*after, first], dtype=torch.float64))
        self.rows, self.device = torch.nn.Parameter(rows, requires_grad=False), torch.device("cpu")

    def forward(self, input_ids):
        return SimpleNamespace(logits=self.rows[input_ids])


class Numbers:
    """Token ids as text; the prompt is one token."""

    unk_token_id = -1

    def __init__(self, prompt, eos):
        self.prompt, self.eos_token_id = prompt, eos

    def apply_chat_template(self, messages, **kwargs):
        return messages[0]["content"]

    def __call__(self, texts, return_tensors):
        return SimpleNamespace(input_ids=torch.tensor([[self.prompt]]))

    def convert_tokens_to_ids(self, token):
        return self.unk_token_id

    def decode(self, ids, skip_special_tokens):
        return "".join(map(str, ids))


def generate(draft, target, outcomes, method, tokens, eos=END, counted=False, **options):
    """The first `tokens` tokens, or with `counted` how many there are."""
    models = Table(*draft), Table(*target)
    tokenizer = Numbers(len(draft[0]), eos)
    torch.set_num_threads(1)

    def draw():
        if method == "baseline":
            result = baseline_generate(models[1], tokenizer, "?", max_new_tokens=tokens, **options)
        else:
            result = speculative_generate(*models, tokenizer, "?", max_new_tokens=tokens, method=method, **options)
        return outcomes.index(str(result["tokens_generated"]) if counted else result["text"][:tokens])

    return draw


if __name__ == "__main__":
    serve({"generate": generate})
