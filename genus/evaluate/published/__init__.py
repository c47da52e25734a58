"""What the papers of the lineage printed, to stand beside figures of one's own, with the reasons why these may differ."""
