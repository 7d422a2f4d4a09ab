"""Results of other load generators, taken into the results file beside our own."""
