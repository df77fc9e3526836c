"""Models as data: weights found and verified, spaces and their probes, encoders for text and images."""
