"""What an edge device needs: numpy, pillow and pydantic; never imports torch."""
