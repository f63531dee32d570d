"""The study of predictions."""
