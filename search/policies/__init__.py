"""Which policies are tried: starts, the sampler, what it is shown of a long study."""
