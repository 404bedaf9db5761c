"""What the user asked for: validated settings, the layers they came from, the shipped files. Imports nothing here."""
