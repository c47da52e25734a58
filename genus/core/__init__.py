"""What every stage needs before any model exists: errors, files, recipes, progress."""
