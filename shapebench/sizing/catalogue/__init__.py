"""What is known of processors, compute shapes, prices and models: data, and what reads it."""
