"""The command line: words in, words out. No measuring and no HTTP live here; this file imports nothing."""
