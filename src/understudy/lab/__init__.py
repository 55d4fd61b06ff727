"""Tools beside the product: synthetic pictures, the papers' tables, released weights, and interference tests.

The command line and :class:`understudy.Model` offer them; no other package builds on them.
"""
