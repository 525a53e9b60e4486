"""The probe: inside publishers and workers; stamps messages, counts runs, and never lets a task notice."""
