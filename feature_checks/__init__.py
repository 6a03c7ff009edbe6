"""Is this data fit to use?"""
