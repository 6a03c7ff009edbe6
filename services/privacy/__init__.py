"""Personal data stops here: detection, the redacted envelope, the vault, and the way back for one caller."""
