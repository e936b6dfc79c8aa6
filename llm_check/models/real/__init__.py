"""A real pretrained language model, SmolLM2-135M-Instruct, and drafts made of it: fetched, converted, cached, named.

`gsi models smollm2` makes it ready; then `smollm2` and `smollm2:medium` name it wherever a model is named.
"""
