"""A run as pictures: charts of a stored run folder. What a figure means is said in `metrics`."""
