"""Checks of everything that reaches a site or the server: messages, commands, connections and jobs."""
