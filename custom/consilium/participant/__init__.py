"""One hospital's part in a job, without FLARE: its settings, its patients, and what it may answer."""
