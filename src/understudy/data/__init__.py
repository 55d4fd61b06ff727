"""Folders of pictures -> records -> pictures in memory; and the synthetic factory."""
