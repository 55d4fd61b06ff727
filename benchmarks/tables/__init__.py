"""Results files -> Markdown tables with the note below each."""
