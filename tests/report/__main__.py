"""`python -m tests.report [--results FOLDER] [--out FILE]`: see the package."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from tests.report import writing
from tests.report.page import Picture, blocks
from tests.report.results import read

_RESULTS = Path(__file__).parents[2] / "results"


def write(results: Path, out: Path, now: datetime) -> list[Path]:
    """Writes the page as `out`.md and `out`.html, and its pictures beside the Markdown; returns the files."""
    found = blocks(read(results), now)
    out.parent.mkdir(parents=True, exist_ok=True)
    contents = {
        out.with_name(f"{out.name}.md"): writing.markdown(found, f"{out.name}-"),
        out.with_name(f"{out.name}.html"): writing.html(found),
        **{out.with_name(f"{out.name}-{one.name}.svg"): one.svg for one in found if isinstance(one, Picture)},
    }
    for file, content in contents.items():
        file.write_text(content, encoding="utf-8")
    return list(contents)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.report", description="One page of all that was measured.")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="folder of the runs' files")
    parser.add_argument(
        "--out", type=Path, help="the page's name, without its ending (default: report, in that folder)"
    )
    options = parser.parse_args()
    for file in write(options.results, options.out or options.results / "report", datetime.now(UTC)):
        print(file)


if __name__ == "__main__":
    main()
