"""Metrics, intervals and tests over speakers; comparison, search, results and their sentences."""

from ..files import sentence as sentence
