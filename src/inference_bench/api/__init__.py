"""How to ask an engine: the vocabulary, the dialects, the decoders and the measured exchange."""
