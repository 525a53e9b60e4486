"""The periodic entries of an application, from every scheduler that may hold some; reads only."""
