"""Results files -> Markdown tables, each with a note below it."""
