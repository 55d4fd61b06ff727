"""Folders and lists of pictures -> records -> windows or features in memory."""
