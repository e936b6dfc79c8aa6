"""vLLM's speculative decoding with a draft model: the law it states beside the tokens it draws. No code of the project.

python vllm_speculative.py BASE DRAFT [REQUESTS_AT_ONCE], checkpoint folders of one vocabulary (for the embedded pair
python -m llm_check.models.tiny.widen OUT), in the environment of make test-vllm.
"""

import sys
from collections import Counter
from math import exp

from vllm import LLM, SamplingParams

if __name__ == "__main__":
    base, draft, *rest = sys.argv[1:]
    speculative = {"model": draft, "num_speculative_tokens": 1}
    llm = LLM(base, dtype="float32", enforce_eager=True, enable_chunked_prefill=False, speculative_config=speculative,
              max_model_len=60, max_num_seqs=int((rest or ["1"])[0]))  # fmt: skip
    prompt, asked = {"prompt_token_ids": [3, 3, 11, 6, 11, 7, 11, 2, 13]}, SamplingParams(max_tokens=3, logprobs=16)
    drawn = [answer.outputs[0] for answer in llm.generate([prompt] * 600, [asked] * 600, use_tqdm=False)]
    first = Counter(one.token_ids[0] for one in drawn).most_common(1)[0][0]
    same = [one for one in drawn if one.token_ids[0] == first and len(one.token_ids) > 1]
    law = {token: exp(entry.logprob) for token, entry in same[0].logprobs[1].items()}
    count = Counter(one.token_ids[1] for one in same)
    for token in sorted(law, key=law.get, reverse=True):
        print(f"token {token:3}: stated {law[token]:.3f}, drawn {count[token] / len(same):.3f} of {len(same)}")
