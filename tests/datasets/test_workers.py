"""Processes of the builders."""

import os
import subprocess
import sys
import time


def test_workers_end_with_a_killed_build(tmp_path):
    """SIGKILL, so that nothing can be tidied up; an idle worker would wait for ever."""
    program = (
        "import os, signal, multiprocessing as mp\n"
        "from surgzoo.datasets import workers\n"
        "if __name__ == '__main__':\n"
        "    with workers.pool(2) as pool:\n"
        "        print(*{pool.submit(os.getpid).result() for _ in range(20)}, flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    script = tmp_path / "killed.py"
    script.write_text(program)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    workers = [int(pid) for pid in done.stdout.split()]
    assert done.returncode == -9 and workers, done.stderr
    deadline = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in workers):
        assert time.monotonic() < deadline, "a worker outlived its build"
        time.sleep(0.05)
