"""One engine that writes texts: continuous batching, own steering, memory and seed per text.

`loop.generate` writes a list of requests in the caller's thread; `engine.Engine` takes requests from any thread.
"""
