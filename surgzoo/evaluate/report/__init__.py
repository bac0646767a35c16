"""The report of an evaluation: one page of HTML with pictures, and a table for the terminal."""

from surgzoo.evaluate.report.build import report

__all__ = ["report"]
