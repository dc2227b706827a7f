"""The papers' experiments as values: functions that say what is compared, what was claimed, and what differs."""
