"""What keeps the journal believable: checkpoints, shipping to the database, retention, verification."""
