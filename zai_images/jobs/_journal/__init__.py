"""The journal of a job: its tables, and all SQL."""
