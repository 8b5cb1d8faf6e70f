"""The units of the overlay: each a circuit, its Python model and its contract, from the same parameters."""
