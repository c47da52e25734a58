"""What a model is worth: its measures on held-out text, and the references that give those measures a meaning."""
