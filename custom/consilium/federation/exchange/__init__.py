"""Questions to the sites: who is asked, the form that an answer has, what has come, and when it is enough."""
