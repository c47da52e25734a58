"""What a training run will need, said before it starts: memory, time, energy, and the layout over many devices."""
