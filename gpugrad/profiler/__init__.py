"""What a program spends its time on: `profile`, and the table of what operations cost."""

from .averages import Average, Averages
from .costs import COSTS, Cost
from .recorder import emit_nvtx, profile, record_function
from .schedules import Action, schedule
from .watching import Event, Listener

__all__ = [
    "COSTS",
    "Action",
    "Average",
    "Averages",
    "Cost",
    "Event",
    "Listener",
    "emit_nvtx",
    "profile",
    "record_function",
    "schedule",
]
