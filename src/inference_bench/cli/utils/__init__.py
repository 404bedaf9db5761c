"""What commands share: the consoles, signals, and the options that say which services are meant."""
