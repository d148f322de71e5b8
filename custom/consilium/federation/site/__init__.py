"""The site's side of every job: executor, settings, journal and memory."""
