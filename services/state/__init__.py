"""What must outlive a process and be shared by its siblings: API keys, answers to repeated requests."""
