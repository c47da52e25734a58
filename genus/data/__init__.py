"""From text to batches: sources, corpus, vocabulary, shards, loader. Not for models: nothing here imports torch."""
