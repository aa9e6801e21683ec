"""What a simulator must reproduce before its answers are believed."""
