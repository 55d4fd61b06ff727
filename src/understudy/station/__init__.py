"""The inspection station: judges pictures over HTTP, keeps every inspection, lets people review, warns."""
