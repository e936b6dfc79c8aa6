"""`gsi curve`: value against n from the draws of one model, prompt by prompt, then over prompts. No torch here."""
