"""Text to token ids and back, exactly: training byte-level BPE, and using any tokenizer.json."""
