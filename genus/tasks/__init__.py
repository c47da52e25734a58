"""Tasks as GPT-1 tunes on them: records of four forms, the sequences they become, and how well a model does on them.

A form knows no loss (train/task_tuning.py) and no file (records.py); evaluation may show the same records as text.
"""
