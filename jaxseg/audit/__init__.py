"""Questions asked of a data set or of a model, whoever made it."""
