"""A run as a document: the executive report (HTML) and report.md, from a stored run folder."""
