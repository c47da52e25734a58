"""Whether the sources that a document cites bear out what it says, and better ones where they do not. Nothing is fetched."""
