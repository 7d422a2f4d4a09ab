"""The reference server: it answers at a known pace, as cheaply as Python can, and logs what it sent when."""
