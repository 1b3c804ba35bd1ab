"""What is shown while a job runs."""
