"""From a folder of good pictures to a trained model, not yet calibrated: the first half of ``fit``."""
