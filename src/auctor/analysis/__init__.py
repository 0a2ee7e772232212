"""One patient from case to answer: exposure and the next dose by several methods, side by side."""

from auctor.analysis.result import Analysis, Curve, MethodResult, SampleRow
from auctor.analysis.run import analyse

__all__ = ["Analysis", "Curve", "MethodResult", "SampleRow", "analyse"]
