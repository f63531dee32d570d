"""The padding switch, layers and networks."""
