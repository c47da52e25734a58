"""What became of every document: the report of a corpus, its data card, the fate of one document, and a crawl foretold."""
