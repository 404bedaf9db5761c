"""One engine's way of speaking per module: routes, validation, error shapes, streams, metrics names.

`base` is what they share. Written from the protocol facts and the recordings of real servers only.
"""
