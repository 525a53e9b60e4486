"""Files of messages: the format of backups, written and read without any broker."""
