"""Answers to questions from a corpus: quoted, or written by a model and then checked, each sentence with its passage."""
