"""Speed and quality, measured: `python -m bench.<name>` prints JSON."""
