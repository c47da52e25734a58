"""The steps of a corpus, each small and by itself: what they change in a document, and why they drop one."""
