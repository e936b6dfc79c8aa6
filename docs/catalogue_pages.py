"""The catalogue: one page a table, one row or section a member, whatever the table holds when the site is built."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from docs.markdown import anchor, code, joined, label, listed, plain, table, text_of, toctree
from figures.figure_table import PageFigure, figures_of, spoken
from figures.plots import render_svg
from figures.style import house_style
from gsi_theory.cli import COMMANDS, load_command
from gsi_theory.conform import MISTAKES
from gsi_theory.conform import SELECTORS as LIST_SELECTORS
from gsi_theory.methods import METHODS, Method
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.table import FAMILIES, RULES
from gsi_theory.runs.artifact import read_artifact
from gsi_theory.targets.target import Target
from gsi_theory.targets.target_table import TARGET_FAMILIES, TARGETS
from llm_check.logs.curves.selectors import SELECTORS
from llm_check.logs.formats.load_format import FORMATS
from llm_check.logs.formats.log_format import LogFormat
from llm_check.logs.pools.finding import FindingRule, LogRule
from llm_check.logs.pools.findings import FINDINGS
from llm_check.logs.pools.schema import SCHEMA
from llm_check.models.engines.load_engine import LOADERS
from sims.experiments import EXPERIMENTS
from tests.llm_check.logs.formats.sample_logs import SAMPLES

# what `make report` leaves
ARTIFACTS = Path(__file__).parents[1] / "report" / "artifacts"
GALLERY = {entry.artifact: entry for entry in figures_of("gallery")}


def _module(function: Callable[..., object]) -> str:
    return str(function.__module__)


def _method_words(method: Method) -> str:
    parts = [f"proposal `{method.proposal}`", f"weight `{method.weight}`"]
    parts += [f"rule `{method.rule}`"] if method.weight != "none" else []
    parts += [f"search `{method.search}`"] if method.search != "all" else []
    parts += [f"gate `{method.gate}`, fallback `{method.fallback}`"] if method.gate else []
    parts += [f"numbers `{method.numbers}`"] if method.numbers != "fixed" else []
    parts += [f"switches between `{'` and `'.join(method.switch)}`"] if method.switch else []
    return ", ".join(parts)


def _methods() -> str:
    head = ["method", "its record", "parameters it sets", "formula", "source"]
    rows = [
        [f"`{m.id}`<br>{plain(m.label)}", _method_words(m), plain(m.parameters), m.formula, plain(m.source)]
        for m in METHODS.values()
    ]
    return joined(
        "# Methods",
        "Every way to get one answer out of a draft and a base model that this package knows, as one table: the same "
        "record gives the exact law, the simulation and the decoder on language models. A method is named in `gsi "
        "decode --method`, `gsi conform --method`, and in Python as `METHODS[...]` of `gsi_theory.methods`.",
        table(head, rows),
        "## What the words mean",
        text_of("gsi_theory.methods"),
    )


def _rule(name: str, module: str, rule: Rule | None = None) -> str:
    facts = rule and [
        f"{'converges' if rule.converges else 'does not converge'} to the tilted policy as n grows",
        *(["reads the weights by their order alone"] if rule.order_only else []),
        *(["its winner is always one of the heaviest drawn"] if rule.heaviest_wins else []),
        f"has {'a' if rule.score_gate else 'no'} gate on the winning score",
    ]
    return joined(label("rule", name) + f"## {name}", text_of(module), listed(facts or []))


def _rules() -> str:
    return joined(
        "# Selection rules",
        "A rule picks one of n candidates by their weights. It is given by name, as in `Scheme(beta=5, n=8, "
        'rule="race")`, with a parameter after a colon where it has one, or as a `Rule`.',
        *(_rule(name, _module(rule.log_ratio), rule) for name, rule in RULES.items()),
        *(_rule(name, _module(make)) for name, make in FAMILIES.items()),
    )


def _target(name: str, target: Target) -> str:
    who = (
        "candidates can be weighted one by one, so pools and models can aim at it"
        if target.plain
        else "needs the whole law of the base: an `Instance`, not a pool"
    )
    return joined(
        label("target", name) + f"## {name}", f"{plain(target.words)}.", text_of(_module(target.aim)), listed([who])
    )


def _targets() -> str:
    return joined(
        "# Targets",
        "The law that a method aims at, given the base policy, the reward and β. Named in `Scheme(..., "
        'target="kl")`; a parameter stands after a colon.',
        *(_target(name, target) for name, target in TARGETS.items()),
        *(
            joined(label("target", name) + f"## {name}", text_of(_module(make)))
            for name, make in TARGET_FAMILIES.items()
        ),
    )


def _drawn(entry: PageFigure | None) -> str:
    """Figure and caption, where the experiment has been run."""
    if entry is None or not (ARTIFACTS / f"{entry.artifact}.json").exists():
        return ""
    artifact = read_artifact(ARTIFACTS / f"{entry.artifact}.json", entry.artifact)
    words = spoken(entry, artifact)
    return joined(
        f"![{plain(entry.alt)}]({entry.artifact}.svg)",
        f"*By `{artifact.provenance['command']}`.* {plain(words.caption)} {plain(words.claim)}",
    )


def _experiment(name: str) -> str:
    experiment, entry = EXPERIMENTS[name], GALLERY.get(name)
    title = entry.title if entry else name.replace("_", " ")
    rows = [
        [f"`{key}`", plain(str(value)), plain(str(experiment.full.get(key, value)))]
        for key, value in experiment.defaults.items()
    ]
    return joined(
        label("experiment", name) + f"## {plain(title)}",
        f"**Asks.** {plain(experiment.question)}",
        f"**In the literature.** {plain(experiment.claim)}" if experiment.claim else "",
        _drawn(entry),
        code(f"gsi simulate {name}", "console"),
        f"`--profile full` takes about {experiment.full_minutes:g} minutes of one core.",
        table(["setting", "quick", "full"], rows),
    )


def _experiments() -> str:
    return joined(
        "# Experiments",
        "Each is one command that writes one artifact (a file of numbers), from which `gsi figures` draws its figure "
        "with a caption that states what this very run found. `make report` runs them all; a site built after it shows "
        "their figures.",
        *map(_experiment, EXPERIMENTS),
    )


def _finding(rule: FindingRule | LogRule) -> str:
    why = rule.explanation
    return joined(
        label("finding", rule.id) + f"## {rule.id}",
        f"*{rule.severity}*",
        f"**Cause.** {plain(why.cause)}",
        f"**Looks like.** {plain(why.picture)}",
        f"**Cure.** {plain(rule.advice)}.",
        f"**Setting.** {plain(why.setting)}",
    )


def _findings() -> str:
    return joined(
        "# What the doctor finds",
        "`gsi doctor LOG` looks for these faults in a log, `gsi doctor --explain ID` prints one. An *error* voids "
        "every number computed from the log, a *warning* limits what can be said. All tests together raise a false "
        "alarm on at most one clean log in twenty.",
        *map(_finding, FINDINGS),
    )


_DRAWS = {
    True: "draws are independent unless the file says otherwise",
    False: "draws depend on each other",
    None: "the file does not say whether draws are independent",
}


def _lines(objects: list[object]) -> str:
    return code("\n".join(json.dumps(each, ensure_ascii=False) for each in objects), "json")


def _format(name: str, form: LogFormat) -> str:
    sample = next((each for each in SAMPLES.values() if each.form == name), None)
    example = []
    if sample is not None:
        options = [f"'{option}'" if " " in option else option for option in sample.options]
        command = " ".join(["gsi import", sample.name, "--from", name, *options, "--out log.parquet"])
        example = ["For example", _lines(sample.objects), "read by", code(command, "console"), "becomes the rows"]
        example += [_lines(sample.rows)]
    return joined(
        label("format", name) + f"## {name}",
        f"Reads {plain(form.reads)}; {_DRAWS[form.iid]}.",
        text_of(_module(form.rows)),
        *example,
    )


def _formats() -> str:
    head = ["column", "type", "unit", "meaning", "in a pool of two models"]
    rows = [
        [f"`{f.name}`", f"`{f.type}`", f.unit, plain(f.meaning), "required" if f.required else "optional"]
        for f in SCHEMA
    ]
    return joined(
        "# Log formats",
        "`gsi import LOG... --from FORMAT --out OUT.parquet` reads logs of engines and benches into one table, which "
        "all other commands read.",
        "## The table",
        table(head, rows),
        text_of("llm_check.logs.pools.schema"),
        *(_format(name, form) for name, form in FORMATS.items()),
    )


def _selectors() -> str:
    head = ["selector", "picks", "needs, beside the value", "has a β", "needs the answer key"]
    rows = [
        [
            f"`{name}`",
            plain(s.title),
            ", ".join(f"`{column}`" for column in s.needs),
            "yes" if s.tilts else "no",
            "yes" if s.needs_key else "no",
        ]
        for name, s in SELECTORS.items()
    ]
    return joined(
        "# Selectors of one model's draws",
        "Ways to pick one of n draws of a single model, as `gsi curve` and `gsi plan` compare them.",
        table(head, rows),
        "## Those that `gsi conform --selector` tests",
        table(["selector", "picks"], [[f"`{name}`", plain(s.words)] for name, s in LIST_SELECTORS.items()]),
    )


def _mistakes() -> str:
    return joined(
        "# Mistakes of samplers, by name",
        "What `gsi conform` tells from a correct sampler. [The smallest problems that expose them](../mistakes.md), "
        "with both laws; `gsi conform --explain MISTAKE` prints one.",
        table(["mistake", "what it does"], [[f"`{name}`", plain(each.words)] for name, each in MISTAKES.items()]),
    )


# the scheme's module; https is http
_ENGINES = {"transformers": "transformers_engine", "hub": "hub_snapshot", "vllm": "vllm_offline", "http": "vllm_server"}


def _engines() -> str:
    return joined(
        "# Engines",
        "What runs a language model. An engine is named wherever a command asks for a model (`--draft`, `--base`).",
        text_of("llm_check.models.engines.load_engine"),
        "## What every engine promises",
        text_of("llm_check.models.engines.engine"),
        *(
            joined(label("engine", name) + f"## {name}:", text_of(f"llm_check.models.engines.{_ENGINES[name]}"))
            for name in LOADERS
            if name != "https"
        ),
    )


def _options(name: str) -> str:
    """The parameters of a command, a row each, in the groups of its help."""
    rows = []
    for parameter in load_command(name).params:
        if parameter.hidden:
            continue
        option = parameter.param_type_name == "option"
        spelled = " ".join(filter(None, ["/".join(parameter.opts + parameter.secondary_opts), parameter.metavar]))
        # a default that depends on the machine is said in the words of the option
        shown = option and parameter.default not in (None, False) and parameter.name != "workers"
        words = [
            plain(parameter.help or ""),
            "Repeatable." * (parameter.multiple and "repeatable" not in parameter.help),
        ]
        words += [f"Default: `{parameter.default}`."] if shown and "default" not in parameter.help else []
        rows.append([f"`{spelled if option else parameter.metavar}`", " ".join(filter(None, words))])
    return table(["argument or option", "meaning"], rows)


def _command(name: str) -> str:
    return joined(
        label("command", name) + f"## gsi {name}",
        *map(plain, load_command(name).help.split("\n\n")),
        _options(name),
    )


def _commands() -> str:
    return joined(
        "# Commands",
        "What `gsi COMMAND --help` prints. [What they have in common](../command_line.md): exit status, answers that a "
        "program can read, completion.",
        table(
            ["command", "what it does"],
            [[f"[`gsi {n}`](#{anchor('command', n)})", plain(w)] for n, (_, w) in COMMANDS.items()],
        ),
        *map(_command, COMMANDS),
    )


_PAGES: dict[str, Callable[[], str]] = {
    "commands": _commands,
    "methods": _methods,
    "rules": _rules,
    "targets": _targets,
    "experiments": _experiments,
    "findings": _findings,
    "formats": _formats,
    "selectors": _selectors,
    "mistakes": _mistakes,
    "engines": _engines,
}


def _figures() -> dict[str, str]:
    """File name -> SVG of every experiment that has been run."""
    out = {}
    with house_style():
        for name, entry in GALLERY.items():
            path = ARTIFACTS / f"{name}.json"
            if path.exists():
                out[f"{name}.svg"] = render_svg(entry.draw(read_artifact(path, name)))
    return out


def catalogue_pages() -> dict[str, str]:
    """Name -> Markdown of every page of the catalogue, "index" among them; and the figures that they show."""
    head = (
        "Everything that has a name here, each page written from the table that the program itself reads. Claims have "
        "[pages of their own](../claims/index.md)."
    )
    pages = {name: page() for name, page in _PAGES.items()}
    return pages | {"index": joined("# Catalogue", head, toctree(_PAGES))} | _figures()
