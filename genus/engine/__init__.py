"""One way to generate and score, for the command line, evaluations, rollouts and the server."""
