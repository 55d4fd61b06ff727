"""The steps. They name columns and types themselves: ``tables.py`` may go on, a step may not."""
