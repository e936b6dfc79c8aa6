from types import SimpleNamespace

import torch
from seqspecdecod import speculative_generate


class Table(torch.nn.Module):
    def __init__(self, chances):
        super().__init__()
        self.row = torch.nn.Parameter(torch.log(torch.tensor(chances)), requires_grad=False)

    def forward(self, input_ids):  # the same law after every text
        return SimpleNamespace(logits=self.row.expand(1, input_ids.shape[1], 2))


class Tokens:
    eos_token_id = unk_token_id = 9
    apply_chat_template = staticmethod(lambda messages, **_: "")
    convert_tokens_to_ids = staticmethod(lambda token: 9)
    decode = staticmethod(lambda ids, **_: "".join(map(str, ids)))

    def __call__(self, texts, return_tensors):
        return SimpleNamespace(input_ids=torch.zeros((1, 1), dtype=torch.long))


torch.manual_seed(0)
draft, target = Table([0.7, 0.3]), Table([0.4, 0.6])
options = {"draft_temperature": 1.0, "target_temperature": 1.0, "max_new_tokens": 1, "gamma": 2}
for method in ("standard", "naive_hsd", "capped_hsd"):
    texts = [speculative_generate(draft, target, Tokens(), "?", method=method, **options)["text"] for _ in range(2000)]
    print(method, "first token 0:", sum(text[0] == "0" for text in texts) / 2000, "(target 0.4, draft 0.7)")
