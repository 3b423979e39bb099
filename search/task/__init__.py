"""The one door: data and weights are loaded, the network is built, discovered, checked, trained."""
