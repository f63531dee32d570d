"""The study of position."""
