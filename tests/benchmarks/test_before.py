"""`python -m bench.before COMMIT` measures that commit's Dargah beside this tree's, not one of them twice."""

import asyncio
import os
import sys
from pathlib import Path

from bench.before import from_tree


async def test_the_other_trees_code_is_the_one_that_is_started(tmp_path: Path) -> None:
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy" / "__init__.py").touch()
    (tmp_path / "proxy" / "__main__.py").write_text("print('the other tree')")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy"), stdout=asyncio.subprocess.PIPE, env=os.environ | from_tree(tmp_path)
    )
    printed, _ = await process.communicate()
    assert printed == b"the other tree\n"
