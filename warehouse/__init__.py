"""The vendor's raw tables: their contract, their only I/O, and the only cut in time."""
