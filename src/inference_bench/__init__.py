"""vllm-benchmark: which LLM inference engine serves a chat workload better, by how much, and can it be believed.

Importing this package loads nothing heavy; the rooms below are imported where they are needed.
"""

__version__ = "0.1.0"
