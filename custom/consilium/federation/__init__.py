"""What runs inside a FLARE job: executor, controller, aggregation, persistor, site settings, progress."""
