"""What live things look like in a terminal (Rich): pure functions of a state, and the screen that shows them."""
