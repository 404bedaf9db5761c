"""The run folder: writing while a run goes on, reading, listing, finishing, recovering, exporting. No measuring."""
