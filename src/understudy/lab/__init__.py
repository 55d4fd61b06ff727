"""Beside the product: made pictures, the papers' tables, and a look at interference. No other room uses it."""
