"""The page as Markdown and as HTML."""

import re
from collections.abc import Sequence
from html import escape

from tests.report.page import Block, Heading, Picture, Table, Text

TITLE = "Mendbus: what was measured"
_CLASSES = {
    "aim reached": "good",
    "must kept": "good",
    "within noise": "fair",
    "below the aim": "fair",
    "falls short": "bad",
    "not measured": "none",
}
_STYLE = """
:root{color-scheme:light dark;--surface:#fff;--ink:#1c2430;--quiet:#5f6b7a;--line:#dfe4ea;--good:#17693a;--fair:#8a5a00;
--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--surface:#14181f;--ink:#e6e9ee;--quiet:#9aa6b5;--line:#303844;--good:#6fd39a;
--fair:#f0b04a;--bad:#f2847b}}
body{background:var(--surface);color:var(--ink);font:15px/1.5 system-ui,sans-serif;max-width:76rem;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.87rem;font-variant-numeric:tabular-nums;margin:1rem 0}
th,td{text-align:left;vertical-align:top;padding:.22rem .7rem .22rem 0}
th{color:var(--quiet);font-weight:600;border-bottom:1px solid var(--line)}tr.new td{border-top:1px solid var(--line)}
td.good,td.fair,td.bad{white-space:nowrap}td.good{color:var(--good)}td.fair{color:var(--fair)}td.bad{color:var(--bad);font-weight:600}td.none{color:var(--quiet)}
code{font:.92em ui-monospace,monospace}figure{margin:1.5rem 0}
"""


def markdown(blocks: Sequence[Block], pictures: str) -> str:
    """`pictures`: what their names begin with, as seen from the page."""
    return "\n\n".join([f"# {TITLE}", *(_as_markdown(block, pictures) for block in blocks)]) + "\n"


def _as_markdown(block: Block, pictures: str) -> str:
    match block:
        case Heading(text):
            return f"## {text}"
        case Text(entries, listed):
            return "\n".join(f"- {entry}" if listed else entry for entry in entries)
        case Picture(name, says, _):
            return f"![{says}]({pictures}{name}.svg)"
        case Table(head, rows):
            table = [head, ["---"] * len(head), *rows]
            return "\n".join(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in table)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


def html(blocks: Sequence[Block]) -> str:
    """One file that needs no other."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{TITLE}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{TITLE}</h1>\n"
        + "\n".join(_as_html(block) for block in blocks)
        + "\n</body>\n</html>\n"
    )


def _as_html(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{_inline(text)}</h2>"
        case Text(entries, listed):
            if listed:
                return "<ul>" + "".join(f"<li>{_inline(entry)}</li>" for entry in entries) + "</ul>"
            return "".join(f"<p>{_inline(entry)}</p>" for entry in entries)
        case Picture(_, _, svg):
            return f"<figure>{svg}</figure>"
        case Table(head, rows):
            titles = "".join(f'<th scope="col">{_inline(cell)}</th>' for cell in head)
            return (
                f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{_rows(rows)}</tbody></table></div>'
            )


def _rows(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(
        f"<tr{' class=new' if row[0] else ''}>"
        + "".join(f"<td{f' class={_CLASSES[cell]}' if cell in _CLASSES else ''}>{_inline(cell)}</td>" for cell in row)
        + "</tr>"
        for row in rows
    )


def _inline(text: str) -> str:
    """Code between back quotes, emphasis between stars; nothing else is markup."""
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    safe = re.sub(r"(?<!\w)\*(\w[^*]*)\*", r"<em>\1</em>", safe)
    return re.sub(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d)(?: (\[\d+\]))?", _together, safe)


def _together(date: re.Match[str]) -> str:
    """A date is not broken into two lines."""
    return "&nbsp;".join(part for part in date.groups() if part)
