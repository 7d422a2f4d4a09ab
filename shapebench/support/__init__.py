"""Small things that several stages share."""
