"""A run over many processes: who computes what. The model and the losses know nothing of it."""
