"""What is looked for: a file for each kind of personal data, each with the same `find`.

The order and the prefilter are in `services/privacy/detect.py`.
"""
