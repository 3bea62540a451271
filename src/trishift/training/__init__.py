"""Framework-free training: schedules, parameter groups, random draws, the loop and the run folder."""
