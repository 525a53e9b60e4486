"""What is wrong with a schedule: rules from TG201 on, pure functions over what the application says and what was planned."""
