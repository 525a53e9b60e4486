"""Plays the demo as a process of its own; each line on stdout is something the test waits for."""

import sys

from tidegate.demo.story import run_demo


class LineNarrator:
    """Tells each sentence as one line."""

    def say(self, text: str) -> None:
        sys.stdout.write(text.replace("\n", " ") + "\n")
        sys.stdout.flush()

    def progress(self, line: str) -> None:
        return None


def show_nothing(url: str) -> None:
    sys.stdout.write(f"shown {url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(run_demo(show_nothing, show_nothing, narrator=LineNarrator(), keep=True, seconds=0.5))
