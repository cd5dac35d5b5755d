"""The agent SDK: what a monitored process imports to report its errors, tell its health and be recovered.

`agent` is the face; `core` what it is made of; `life` what happens on its own thread.
"""
