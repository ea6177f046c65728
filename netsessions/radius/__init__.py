"""RADIUS Accounting: decoding of packets, and the UDP listener."""
