"""Secure aggregation: a server learns the sum of the sites' vectors and no single one.

The protocol is that of Bonawitz et al. (2017, https://doi.org/10.1145/3133956.3133982) with a complete graph
and fresh keys in every attempt. docs/secure-aggregation.md has the threat model, the messages and the proofs'
places. Nothing here knows FLARE or torch.

`site_attempt` and `server_attempt` are what every protocol of the hospitals has, in whatever package.
"""
