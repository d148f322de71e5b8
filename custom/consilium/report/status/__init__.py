"""Where a job stands, for the people at the server and at the hospitals."""
