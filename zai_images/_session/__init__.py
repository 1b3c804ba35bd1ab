"""The session and the life of one call."""
