"""Which model may be loaded?"""
