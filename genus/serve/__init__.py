"""The server: OpenAI's API and the pages, over engines in processes of their own."""
