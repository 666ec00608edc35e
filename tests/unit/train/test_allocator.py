import platform
import subprocess
import sys

from ticketkit.train.allocator import keep_freed_memory

FAULTS = """
import resource, sys
import torch
from ticketkit.train.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(3):
    torch.ones(3_000_000)  # 12 MB, given back at once
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    kept = [torch.ones(10_000_000) for _ in range(2)]
    del kept
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_memory_that_is_freed_is_touched_for_the_first_time_once():
    if platform.libc_ver()[0] != "glibc":
        assert not keep_freed_memory()
        return

    def faults(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    kept, given_back = faults("keep"), faults("give back")
    assert kept < given_back / 4
