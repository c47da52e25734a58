"""The parts of a block, one noun a file."""
