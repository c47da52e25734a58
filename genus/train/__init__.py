"""One loop for every training phase: batches and a loss that returns (sum, weight)."""
