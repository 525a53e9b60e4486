"""The schedulers: which due times are sent, by whom, and what became of each."""
