"""In-context evaluation as GPT-2 and GPT-3 did it: tasks as data, prompts with K examples, scores, intervals."""
