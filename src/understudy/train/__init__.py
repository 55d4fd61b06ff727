"""From a folder of good pictures to a trained model: what ``understudy fit`` does first."""
