"""Metrics, intervals and tests over speakers; comparison and search of models; results."""
