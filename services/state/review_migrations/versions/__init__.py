"""One file for each change of form, in order."""
