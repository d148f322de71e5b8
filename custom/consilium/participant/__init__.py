"""One hospital's part in a job, without FLARE: settings, patients, permitted answers."""
