"""The study of annotations."""
