"""The table of contents: each flow reads like the list of stages."""
