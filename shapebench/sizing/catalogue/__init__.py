"""The catalogue of processors, compute shapes, prices and models: data and its reader."""
