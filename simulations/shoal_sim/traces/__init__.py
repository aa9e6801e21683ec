"""What links and sessions are like: generated, or read from files that others measured."""
