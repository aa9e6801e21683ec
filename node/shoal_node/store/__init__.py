"""Durable storage: a person's encrypted database, a relay's database, and what drives them."""
