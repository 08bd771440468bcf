"""Evaluation: what a regularization gained and what it cost, model beside model."""

from keras_reg.evaluation.compare import Comparison, ModelResult, compare
from keras_reg.evaluation.exported import ExportCheck, check_export

__all__ = ["Comparison", "ExportCheck", "ModelResult", "check_export", "compare"]
