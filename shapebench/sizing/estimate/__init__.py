"""What a model needs and how fast a machine can serve it at the very best, from the model's config.json."""
