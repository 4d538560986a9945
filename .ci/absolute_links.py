# SPDX-License-Identifier: Apache-2.0
"""Make the README's links lead somewhere from the page of a package index.

    python .ci/absolute_links.py https://github.com/OWNER/synjit v1.2.3

Links to files of the repository become links to that tag, pictures to the files
themselves. The README in the repository keeps relative links, which work in a clone, in
a fork, and wherever the repository is.
"""

import re
import sys
from pathlib import Path

LINK = re.compile(
    r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)#:]+)(?P<rest>#[^)]*)?\)"
)


def absolute(text: str, repository: str, tag: str) -> str:
    """Give a text whose relative links are absolute."""

    def link(found: re.Match[str]) -> str:
        kind = "raw" if found["picture"] else "blob"
        address = f"{repository}/{kind}/{tag}/{found['path']}{found['rest'] or ''}"
        return f"{found['picture']}[{found['text']}]({address})"

    return LINK.sub(link, text)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("say REPOSITORY TAG, as https://github.com/OWNER/synjit v1.2.3")
    readme = Path(__file__).parents[1] / "README.md"
    readme.write_text(absolute(readme.read_text(), *sys.argv[1:]))
