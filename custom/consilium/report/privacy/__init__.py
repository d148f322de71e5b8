"""The data-protection officer's page of a job."""
