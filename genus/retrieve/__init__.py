"""Answers from a corpus that is yours: passages, their index, search, and whether a passage bears a claim out."""
