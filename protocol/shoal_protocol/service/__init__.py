"""What a relay does for those who ask it through the onion: boxes, inboxes, DHT operations."""
