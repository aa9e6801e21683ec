"""The person's side: paths, guards, cover traffic, inbox reading and delivery."""
