"""Many requests through one session."""
