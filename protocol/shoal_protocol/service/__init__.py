"""What a relay does for those who ask it through the onion: inboxes and DHT operations."""
