"""Learning from what people say of answers: the store of what they said, and what is trained from it."""
