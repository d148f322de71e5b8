"""FLARE components of a job: executor, controller, aggregation, persistor, site settings, progress."""
