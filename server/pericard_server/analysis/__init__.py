"""Blind analysis: the hospital has an untrusted cloud compute on encrypted readings, and checks every result.

`BlindAnalysis` does the whole; `Report` is what it gives.
"""

from pericard_server.analysis.blind import BlindAnalysis
from pericard_server.analysis.report import Moments, PatientStatistics, Report

__all__ = ["BlindAnalysis", "Moments", "PatientStatistics", "Report"]
