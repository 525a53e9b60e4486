"""The story, played: a private broker, a real Django project, real workers, and the diagnosis."""
