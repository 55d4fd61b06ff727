"""The light runtime: from pictures to verdicts with numpy, pillow and pydantic. Never imports torch."""
