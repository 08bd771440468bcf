"""Evaluation: what a regularization gained and what it cost, model beside model."""

from keras_reg.evaluation.compare import Comparison, ModelResult, compare

__all__ = ["Comparison", "ModelResult", "compare"]
