"""Everything that imports nvflare at run time: executor, controller, aggregation, persistor, site settings, progress."""
