"""The study of dataset."""
