"""When an entry of the schedule comes due, and what is made up for where beat comes late. Times are whole microseconds."""
