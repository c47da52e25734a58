"""The corpus as passes over part files, each of which can be killed and gone on with."""
