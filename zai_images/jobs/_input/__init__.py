"""What a job is asked for: files, formats, sources."""
