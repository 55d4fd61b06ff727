"""A campaign of bad input and faults: seeded cases, a judge that can say "silently wrong", and a page."""
