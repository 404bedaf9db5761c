"""What is seen while answers come in: events, lanes, who is first, recordings. No sockets, no screen."""
