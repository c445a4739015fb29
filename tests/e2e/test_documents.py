"""What the documents say of flags and of memory is what the programs say and what the formula gives; links lead somewhere."""

import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import BIN, ROOT  # noqa: E402

FLAGS = ROOT / "docs/flags.md"
OPERATIONS = ROOT / "docs/operations.md"
OPTION = re.compile(r"^  (--[^ ]+)(.*)$")
ROW = re.compile(r"^\| `(--[a-z0-9-]+)` \| ([^|]+) \| ([^|]+) \|$")
EVERYWHERE = {"--help", "--version"}


def help_of(*command: str) -> str:
    # The default of --engine depends on it.
    environment = {**os.environ, "XDG_RUNTIME_DIR": "/run/user/UID", "PHALANX_API_KEY": ""}
    done = subprocess.run([str(BIN / command[0]), *command[1:], "--help"], capture_output=True, text=True, timeout=60,
                          env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def flags_of(text: str) -> dict[str, str | None]:
    """Of a program's help: each flag by its first name, and its default, which stands behind a "=" or ends the text as [X]."""
    flags: dict[str, str | None] = {}
    for block in re.split(r"\n(?=  -)", text):
        lines = block.split("\n")
        match = OPTION.match(lines[0])
        if not match or (name := re.split(r"[,{]", match[1])[0]) in EVERYWHERE:
            continue
        words = re.split(r"  +", match[2], maxsplit=1)  # the kind, empty for a flag without a value, and the text
        end = next((i for i, line in enumerate(lines[1:], 1) if not line.startswith("      ")), len(lines))
        description = " ".join([*words[1:], *(line.strip() for line in lines[1:end])])
        kind = re.sub(r" (Needs|Excludes):.*", "", words[0])
        given = re.search(r"=(\S+)", kind)
        bracketed = re.search(r"\[(\S+)\]$", description)
        flags[name] = given[1] if given else bracketed[1] if bracketed else None
    return flags


def commands() -> list[str]:
    listed = re.search(r"Subcommands:\n(.*?)(?:\n\n|$)", help_of("phalanx"), re.DOTALL)[1]
    return [line.split()[0] for line in listed.splitlines() if re.match(r"^  \S", line)]


def documented() -> dict[str, dict[str, str | None]]:
    """{program or subcommand: {flag: default}} of the page, whose headings name whose flags follow."""
    found: dict[str, dict[str, str | None]] = {}
    owners: list[str] = []
    for line in FLAGS.read_text().splitlines():
        if line.startswith("## "):
            owners = [word.strip() for word in line.removeprefix("## ").removeprefix("phalanx ").split(",")]
        elif match := ROW.match(line):
            default = None if match[2] == "*none*" else re.fullmatch(r"`(.+)`", match[2])[1]
            for owner in owners:
                flags = found.setdefault(owner, {})
                assert match[1] not in flags, f"{owner} {match[1]} twice"
                flags[match[1]] = default
            assert match[3].strip(), f"{match[1]}: no reason"
        else:
            assert not line.startswith("| `"), f"no row of a flag: {line}"
    return found


class Flags(unittest.TestCase):
    maxDiff = None

    def test_the_page_is_what_the_programs_say(self):
        page = documented()
        programs = {"coordinator": ("coordinator",), "worker": ("worker",),
                    **{name: ("phalanx", name) for name in commands()}}
        self.assertGreater(len(programs), 9)
        self.assertEqual(set(page), set(programs))
        for name, command in programs.items():
            with self.subTest(program=name):
                flags = flags_of(help_of(*command))
                self.assertEqual(page[name], flags)

    def test_reads_help_as_people_do(self):
        text = ("Options:\n  -h,--help                   Print this\n  --config FILE               a file\n"
                "  --port INT:INT in [0 - 65535]=8000\n                              TCP port for HTTP; 0: a free one\n"
                "  --on,--no-on{false}         turns it on [yes]\n  --key TEXT Needs: --port    its key\n"
                "  --parser :{a,b}=a           how\n  --quantization :{none}=none of weights\n  --names TEXT ...\n                              names [all]\n"
                "\n\nLimits:\n  --time SECONDS:FLOAT in [0 - 1e+06]=30\n                              how long\n")
        self.assertEqual(flags_of(text), {"--config": None, "--port": "8000", "--on": "yes", "--key": None,
                                          "--parser": "a", "--quantization": "none", "--names": "all", "--time": "30"})


class Capacity(unittest.TestCase):
    def test_the_table_follows_from_its_formula(self):
        rows = re.findall(r"^\| (\S+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) KiB \| ([\d,]+) \| ([\d,]+) \|$",
                          OPERATIONS.read_text(), re.MULTILINE)
        self.assertGreater(len(rows), 3)
        for model, layers, kv_heads, head_dim, kib, per_gib, streams in rows:
            with self.subTest(model=model):
                bytes_per_token = 2 * int(layers) * int(kv_heads) * int(head_dim) * 4
                self.assertEqual(int(kib) * 1024, bytes_per_token)
                tokens = 2**30 // bytes_per_token
                # Rounded down to what one can keep in mind.
                shown = int(per_gib.replace(",", ""))
                self.assertTrue(0.9 * tokens < shown <= tokens, (shown, tokens))
                self.assertEqual(int(streams.replace(",", "")), 4 * 2**30 // bytes_per_token // 1024)


def anchors_of(text: str) -> set[str]:
    """Of the headings, as GitHub makes them: lower case, without punctuation, a dash for each space."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
        found[anchor] = found.get(anchor, -1) + 1
    return {name if i == 0 else f"{name}-{i}" for name, count in found.items() for i in range(count + 1)}


def broken_links(page: pathlib.Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
        if re.match(r"[a-z]+:", target):
            continue  # not ours
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors_of(file.read_text())):
            broken.append(target)
    return broken


class Links(unittest.TestCase):
    def test_each_leads_to_a_file_and_a_heading(self):
        pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
        self.assertGreater(len(pages), 8)
        for page in pages:
            with self.subTest(page=page.name):
                self.assertEqual(broken_links(page), [])

    def test_anchors_are_githubs(self):
        self.assertEqual(anchors_of("# Keys, metrics and TLS\n```\n# no heading\n```\n## A `b`\n## A b\n"),
                         {"keys-metrics-and-tls", "a-b", "a-b-1"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
