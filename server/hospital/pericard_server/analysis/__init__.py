"""Blind analysis: the hospital has an untrusted cloud compute on encrypted readings, and checks every result.

`BlindAnalysis` does the whole; `Report` is what it gives.
"""

from pericard_server.analysis.blind import BlindAnalysis
from pericard_server.analysis.packing import HEART_RATE_BPM, Encoding
from pericard_server.analysis.report import (
    Moments,
    PatientRelation,
    PatientStatistics,
    Relation,
    RelationReport,
    Report,
)

__all__ = [
    "HEART_RATE_BPM",
    "BlindAnalysis",
    "Encoding",
    "Moments",
    "PatientRelation",
    "PatientStatistics",
    "Relation",
    "RelationReport",
    "Report",
]
