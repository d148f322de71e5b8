"""The report's three questions, each answered in one sentence."""
