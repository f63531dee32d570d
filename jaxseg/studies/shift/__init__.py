"""The study of shift."""
