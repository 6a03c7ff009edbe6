"""The console: a process of its own that shows what the orchestrator's HTTP API tells."""
