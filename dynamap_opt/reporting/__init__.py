"""A plan as one HTML file that needs nothing else: the network, its latency, what was explored and what was proved."""

from .report import Report, make_report

__all__ = ["Report", "make_report"]
