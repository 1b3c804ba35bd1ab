"""The key of the tests: it opens nothing, and nobody may see it."""

KEY = "sk-a-key-nobody-may-see"
