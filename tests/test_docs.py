"""The documentation and the code say the same: nothing undocumented, nothing documented that is gone, no dead link."""

import inspect
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import tidegate
from tidegate import config, diagnose, errors, gating, planning
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.cli.main import tidegate as group
from tidegate.document import document
from tidegate.facts.diagnosis import State
from tidegate.model.lint.table import LINT_RULES
from tidegate.model.rules.table import RULES
from tidegate.observe.look import Options
from tidegate.observe.peek import peek_queue
from tidegate.observe.sampling import GLANCE, Plan, sample_census

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"])
RULE_SECTIONS = ["What it sees", "Why it matters", "How sure it is", "What to do", "How to silence it"]
ALL_RULES = (*RULES, *LINT_RULES)


def read(page: str) -> str:
    return (DOCS / page).read_text()


def section(page: str, title: str) -> str:
    """The text below a heading, up to the next heading of any depth."""
    parts = re.split(r"^#+ (.*)$", without_code(read(page)), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[title]


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def first_cells(text: str) -> list[str]:
    """What stands in backticks in the first column of the tables."""
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


def leaves(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command by its whole name; a group stands for those in it."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for part in command.list_commands(context):
        inner = command.get_command(context, part)
        assert inner is not None
        yield from leaves(inner, f"{name} {part}".strip())


COMMANDS = dict(leaves(group))


def options_of(command: click.Command) -> set[str]:
    context = click.Context(command, **group.context_settings)
    return {name for p in command.get_params(context) if p.param_type_name == "option" for name in spellings(p)}


def spellings(parameter: click.Parameter) -> list[str]:
    return [*parameter.opts, *parameter.secondary_opts]


def documented_options(text: str) -> set[str]:
    return {
        name for cell in first_cells(text) for name in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", cell, re.IGNORECASE)
    }


def error_classes() -> dict[str, type]:
    return {
        name: kind for name, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__
    }


def exit_codes() -> dict[str, int]:
    return {name: value for name, value in vars(errors).items() if name.startswith("EXIT_")}


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.id)
def test_every_rule_has_a_page_with_its_number_and_title_and_the_same_sections(rule):
    text = read(f"rules/{rule.id}.md")

    assert text.splitlines()[0] == f"# {rule.id}: {rule.title}"
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == RULE_SECTIONS


def said_in(pattern: str) -> str:
    """The source of the package, with strings that stand side by side joined and their quoting undone."""
    source = "\n".join(path.read_text() for path in (ROOT / "src/tidegate").glob(pattern))
    return re.sub(r"[\"']\s*\n\s*f?[\"']", "", source).replace("\\'", "'")


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.id)
def test_the_sentences_that_a_page_quotes_are_those_of_the_rule(rule):
    quotes = re.findall(r"^> (.*)$", read(f"rules/{rule.id}.md"), re.MULTILINE)
    # Split at placeholders (in italics) and punctuation; counted nouns are put together elsewhere.
    parts = [part.strip() for quote in quotes for part in re.split(r"\*[^*]+\*|[.:;,()]", quote)]
    pieces = [re.sub(r"^(messages|workers|results|reply lists) ", "", part) for part in parts]
    source = said_in("model/lint/*.py" if rule in LINT_RULES else "model/rules/*.py")

    assert len(quotes) >= 2
    assert [piece for piece in pieces if len(piece) >= 16 and piece not in source] == []


def test_every_page_about_a_rule_belongs_to_a_rule():
    pages = {page.stem for page in (DOCS / "rules").glob("*.md")} - {"README"}

    assert pages == {rule.id for rule in ALL_RULES}


def test_the_index_of_rules_lists_every_rule_with_its_title_and_no_other():
    rows = re.findall(r"^\| \[(TG\d+)\]\(\1\.md\) \| ([^|]+?) \|", read("rules/README.md"), re.MULTILINE)

    assert rows == [(rule.id, rule.title) for rule in ALL_RULES]


def test_every_number_of_a_rule_that_a_page_mentions_exists():
    known = {rule.id for rule in ALL_RULES}

    assert {(page.name, number) for page in PAGES for number in re.findall(r"TG\d{3}", page.read_text())} <= {
        (page.name, number) for page in PAGES for number in known
    }


def test_every_message_that_troubleshooting_explains_is_one_that_the_tool_prints():
    headings = re.findall(r"^## (.*)$", read("troubleshooting.md"), re.MULTILINE)
    source = said_in("**/*.py")
    pieces = [piece.strip(" .:;,()?") for heading in headings for piece in heading.split("…")]

    assert len(headings) > 20
    assert [piece for piece in pieces if len(piece) >= 8 and piece not in source] == []


def test_every_command_has_its_section_and_every_section_its_command():
    titles = re.findall(r"^## `tidegate ([\w -]+)`$", read("reference/cli.md"), re.MULTILINE)

    assert titles == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_stands_in_its_section_and_no_other_does(name):
    assert documented_options(section("reference/cli.md", f"`tidegate {name}`")) == options_of(COMMANDS[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_text_of_every_option_is_quoted_as_it_is(name):
    page = " ".join(section("reference/cli.md", f"`tidegate {name}`").split())
    helps = [p.help for p in COMMANDS[name].params if isinstance(p, click.Option) and p.help]

    assert [text for text in helps if " ".join(text.split()).replace("|", "\\|") not in page] == []


def test_every_setting_stands_on_its_page_with_its_default_and_meaning_and_no_other_does():
    rows = [
        line.strip("|").split("|") for line in read("reference/settings.md").splitlines() if line.startswith("| `TID")
    ]

    assert [[cell.strip(" `") for cell in row] for row in rows] == [
        [setting.env, setting.option, setting.default, setting.sentence.strip(" `")] for setting in config.SETTINGS
    ]


def is_number(setting: config.AppSetting) -> bool:
    return setting.holds is config.Holds.NUMBER


def test_every_setting_of_the_application_stands_on_the_page_with_its_bounds_and_meaning_and_no_other_does():
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in read("reference/settings.md").splitlines()
        if line.startswith("| `tidegate_")
    ]

    assert rows == [
        [setting.name, f"{setting.default:.9g}" if is_number(setting) else str(setting.default)]
        + ([f"{setting.least:.10g}", f"{setting.most:.10g}"] if setting.most else ["", ""])
        + [setting.sentence]
        for setting in config.APP_SETTINGS
    ]


def test_every_variable_of_the_environment_that_a_page_mentions_is_a_setting():
    known = {setting.env for setting in config.SETTINGS}

    assert {name for page in PAGES for name in re.findall(r"\bTIDEGATE_[A-Z_]+\b", page.read_text())} <= known


def test_every_class_of_error_stands_on_its_page_and_no_other_does():
    assert sorted(first_cells(read("reference/errors.md"))) == sorted(error_classes())


def test_the_tree_of_errors_is_drawn_as_in_the_code():
    drawn = re.compile(r"^ *([│├└─ ]*[A-Z]\w+)", re.MULTILINE)
    page = read("reference/errors.md").split("```text")[1].split("```")[0]

    assert drawn.findall(page) == drawn.findall((errors.__doc__ or "").split("\n\n")[1])


def test_every_exit_code_stands_on_its_page_and_no_other_does():
    rows = re.findall(r"^\| (\d+) \| `(EXIT_\w+)`", read("reference/exit-codes.md"), re.MULTILINE)

    assert {name: int(code) for code, name in rows} == exit_codes()


def test_the_numbers_of_a_sample_are_those_of_the_code():
    rows = re.findall(r"^\| `tidegate (census|doctor)` \| (.*) \|$", read("explain/how-we-measure.md"), re.MULTILINE)
    plans = {"census": Plan(), "doctor": GLANCE}

    assert {name: [int(cell.replace(",", "")) for cell in cells.split(" | ")] for name, cells in rows} == {
        name: [plan.windows, plan.length, plan.most_windows, plan.whole_up_to] for name, plan in plans.items()
    }


def test_every_state_is_named_where_verdicts_are_explained():
    assert [state.value for state in State if f"`{state.value}`" not in read("reference/json.md")] == []


def test_the_signatures_in_the_api_page_are_those_of_the_functions():
    page = read("reference/api.md")
    functions = (tidegate.install, planning.plan, diagnose.diagnose)
    drawn = dict(re.findall(r"^(\w+)\((.*)\) ->", page, re.MULTILINE))

    assert first_cells(page) == list(inspect.signature(diagnose.diagnose).parameters)
    for function in functions:
        names = re.findall(r"(\w+)(?:=[^,]+)?(?:, |$)", drawn[function.__name__].replace("*, ", ""))
        assert names == list(inspect.signature(function).parameters)


@pytest.mark.parametrize("room", ["broker", "observe", "model"])
def test_the_drawing_of_the_house_names_every_module(room):
    line = next(line for line in read("explain/design.md").splitlines() if line.startswith(f"  {room}/"))
    modules = {path.stem for path in (ROOT / "src/tidegate" / room).iterdir() if not path.name.startswith("_")}

    assert set(re.findall(r"[a-z_]+", line.partition("   ")[2])) == modules


def test_the_user_of_the_production_page_may_do_all_that_looking_needs(private_broker):
    message = json.dumps(
        {
            "headers": {"task": "proj.refresh", "id": "1", "root_id": "1"},
            "properties": {"delivery_tag": "1", "body_encoding": "base64"},
            "body": "W1tdLCB7fSwge31d",
            "content-type": "application/json",
        }
    )
    broker = private_broker()
    broker.ask("LPUSH", "celery", message)
    broker.ask("HSET", "unacked", "1", json.dumps([json.loads(message), "", "celery"]))
    broker.ask("ZADD", "unacked_index", str(time.time()), "1")
    broker.ask("SET", "celery-task-meta-1", "{}")
    mark = {"tag": "1", "id": "1", "list": "celery", "at": 1, "state": "held", "changed": 1, "who": "a/1"}
    for name, value in (("counts", "1"), ("marks", json.dumps(mark)), ("nodes", "a"), ("firings", "{}")):
        broker.ask("HSET", f"tidegate:gate:1:{name}", "open|noperm", value)
    grant = re.findall(r"^ACL SETUSER .*$", read("howto/production.md"), re.MULTILINE)[0]

    assert broker.ask(*grant.replace("PASSWORD", "secret").split()) == "OK"
    url = broker.url.replace("redis://", "redis://tidegate:secret@")
    seen = json.dumps(document(diagnose.diagnose(url, window_s=0.5)))
    seen += json.dumps(document(gating.status_at(parse_address(url), Options(window_s=0.1, censuses=False))))
    with connect(parse_address(url)) as connection:
        assert [row.task for row in peek_queue(connection, "celery", 5)] == ["proj.refresh"]
        assert sample_census(connection, "celery", ["celery"]).messages == 1

    assert "may not" not in seen
    assert "permission" not in seen


def headings(page: Path) -> set[str]:
    """The anchors that a page offers, as code hosts make them from headings."""
    titles = re.findall(r"^#+ (.*)$", without_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def links(page: Path) -> Iterator[str]:
    yield from re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(page):
    dead = []
    for link in links(page):
        target, _, anchor = link.partition("#")
        place = (page.parent / target).resolve() if target else page
        if "://" not in link and (not place.exists() or (anchor and anchor not in headings(place))):
            dead.append(link)

    assert dead == []


def test_every_page_is_reached_from_the_index():
    reached, waiting = set(), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page.suffix == ".md" and page not in reached:
            reached.add(page)
            targets = [link.partition("#")[0] for link in links(page) if "://" not in link and not link.startswith("#")]
            waiting += [(page.parent / target).resolve() for target in targets]

    assert sorted(set(DOCS.rglob("*.md")) - reached) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_holds_a_placeholder(page):
    assert re.findall(r"@@\w*|TODO|FIXME|XXX", page.read_text()) == []


# Split, so that this file is none of those it finds.
FOREIGN = ["pythonh" + "osted", "py" + "pi.org", "/wo" + "rk/", "/ro" + "ot/"]


def test_no_tracked_file_names_a_package_registry_or_a_path_of_the_machine_it_was_written_on():
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = [git, "-C", str(ROOT), "grep", "-I", "-l", "-E", "|".join(map(re.escape, FOREIGN))]
    found = subprocess.run(command, capture_output=True, text=True, check=False)

    assert found.returncode in (0, 1), found.stderr
    assert found.stdout.split() == []
