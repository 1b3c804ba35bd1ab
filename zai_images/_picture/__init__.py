"""A checked picture, its header, and how files are written."""
