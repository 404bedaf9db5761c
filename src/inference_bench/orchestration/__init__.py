"""One file per thing a user does, each a story told in calls to the rooms below. Importing this loads nothing."""
