"""Bias, as the papers of the lineage measured it: one file for each data set or probe. None of them shows a model fair."""
