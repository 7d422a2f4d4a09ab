"""A server whose timing is known: it answers at a fixed pace, as cheaply as Python can, and logs what it sent when."""
