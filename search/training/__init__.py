"""Training: the loop, what a spec means, checkpoints; the trainer trains each network once."""
