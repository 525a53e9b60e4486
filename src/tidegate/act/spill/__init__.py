"""The spill keeper: what is over the bound of a queue waits on disk, in its order."""
