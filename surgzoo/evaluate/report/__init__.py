"""The report of an evaluation, and of several beside each other: one page of HTML with pictures."""

from surgzoo.evaluate.report.build import report
from surgzoo.evaluate.report.comparison import compare_report

__all__ = ["compare_report", "report"]
