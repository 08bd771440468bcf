"""Callbacks: thin, they call the other parts of the package."""

from keras_reg.callbacks.generalization_gap import GeneralizationGap
from keras_reg.callbacks.refit import Refit
from keras_reg.callbacks.schedule_logger import ScheduleLogger
from keras_reg.callbacks.sparsity_report import SparsityReport
from keras_reg.callbacks.target_sparsity import TargetSparsity

__all__ = ["GeneralizationGap", "Refit", "ScheduleLogger", "SparsityReport", "TargetSparsity"]
