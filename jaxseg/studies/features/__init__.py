"""The study of features."""
