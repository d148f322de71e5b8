"""Status of a job, for the people at the server and at the hospitals."""
