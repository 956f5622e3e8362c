"""`make bench`: Einmesh beside NumPy, JAX and PyTorch, on the same inputs, cores and machine."""
