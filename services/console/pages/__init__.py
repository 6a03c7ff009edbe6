"""The console's pages: thin, from view models to nicegui."""
