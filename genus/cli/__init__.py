"""The command line: the table of commands in main.py, then one small file a command."""
