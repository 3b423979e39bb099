"""What forward passes take on this machine: tables of layers, measured and checked."""
