"""The API page as values and rules, without I/O."""
