"""What the engine computes on a CPU, compiled by Numba. Nothing here knows of a model."""
