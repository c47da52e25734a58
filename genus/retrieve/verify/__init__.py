"""Judges of support: how far a passage bears a claim out. Coverage of words needs no model; a tuned GPT judges better."""
