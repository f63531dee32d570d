"""Questions asked of a trained model: where its evidence lies."""
