"""What two personas say to each other: inbox entries, the first contact, what follows it."""
