"""Training, free of frameworks: rules (schedules, parameter groups, draws), the loop, and the run folder."""
