"""The code blocks of the README run as they stand."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_code_block_runs(block, capsys):
    exec(compile(block, "README.md", "exec"), {})
    assert re.search("converged|replans: .* 0 failed", capsys.readouterr().out)
