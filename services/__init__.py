"""How is one request answered?"""
