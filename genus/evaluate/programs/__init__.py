"""Programs that a model wrote, run behind a lock and judged: HumanEval's form."""
