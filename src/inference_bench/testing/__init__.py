"""When to ask, and the measuring itself: plan, arrivals, worker processes, runners, validity, analysis."""
