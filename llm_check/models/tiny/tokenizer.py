"""The closed vocabulary of the embedded world: 16 tokens, known to transformers as an ordinary fast tokenizer.

    0 <pad>   1..10 the digits 0..9   11 +   12 -   13 the blank line   14 \\boxed{   15 }

``}`` is the end-of-sequence token: it closes the box and thereby the solution. Because it is part of the text,
decode with ``skip_special_tokens=False`` (the default); then decode(encode(x)) == x for every text over the
vocabulary, and encode(decode(ids)) == ids for every list of ids. Any other text is refused by the tokenizer.
"""

from __future__ import annotations

from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerFast

from llm_check.models.tasks.arithmetic import STEP_DELIMITER

__all__ = ["BLANK_ID", "BOX_ID", "EOS_ID", "PAD_ID", "VOCABULARY", "build_tokenizer"]

VOCABULARY = ("<pad>", *"0123456789", "+", "-", STEP_DELIMITER, "\\boxed{", "}")
PAD_ID = 0
BLANK_ID = VOCABULARY.index(STEP_DELIMITER)
BOX_ID = VOCABULARY.index("\\boxed{")
EOS_ID = VOCABULARY.index("}")


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer, built anew; `save_pretrained` writes what AutoTokenizer.from_pretrained reads back."""
    core = Tokenizer(WordLevel({token: index for index, token in enumerate(VOCABULARY)}))
    core.pre_tokenizer = Split(Regex(r"<pad>|\n\n|\\boxed\{|[0-9+\-}]"), behavior="isolated")
    core.decoder = Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=VOCABULARY[PAD_ID],
        eos_token=VOCABULARY[EOS_ID],
        padding_side="right",
        model_max_length=64,
        clean_up_tokenization_spaces=False,
    )
