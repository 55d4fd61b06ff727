"""The same work by Understudy and by anomalib, measured by the same code in two environments."""
