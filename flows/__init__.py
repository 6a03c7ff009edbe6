"""How does a model come to be, and stay good?"""
