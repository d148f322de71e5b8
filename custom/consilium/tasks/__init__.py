"""Imaging problems, one folder each, found by name, without FLARE."""

from consilium.tasks.base import Target, Task
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.registry import (
    TASKS,
    TaskLearning,
    get_task,
    learning_caution,
    parse_learning,
    task_names,
)

__all__ = [
    "TASKS",
    "LearningSettings",
    "Target",
    "Task",
    "TaskLearning",
    "get_task",
    "learning_caution",
    "parse_learning",
    "task_names",
]
