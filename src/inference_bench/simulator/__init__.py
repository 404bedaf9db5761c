"""Embedded engines: real HTTP/1.1 servers on loopback that speak vLLM's, TGI's, Ollama's and llama-server's dialects.

They stand alone: written from the protocol facts and recordings, they import nothing of the measuring side, so that a
misreading of a protocol cannot hide in both. Every answer says that it is simulated (header `x-simulated-engine`, and
each version string). All speeds in the presets are invented; see `inference_bench.simulator.profile`.

Start them with `python -m inference_bench.simulator`, from code with `inference_bench.simulator.launcher`.
Importing this package loads nothing.
"""
