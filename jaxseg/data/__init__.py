"""Data sets, crops and pipelines: the only home of TensorFlow."""
