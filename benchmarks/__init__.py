"""Benchmarks: netsessions compared with bare servers and PostGraphile. Run `python -m benchmarks.run`."""
