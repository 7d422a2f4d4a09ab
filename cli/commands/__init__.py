"""One file for each kind of command, which is a few lines around one stage and imports it only when it is used."""
