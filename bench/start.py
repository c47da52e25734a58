"""How long a command line takes to answer `--help`: Genus beside transformers' and a bare Python, interleaved.

python bench/start.py
python bench/start.py --rounds 20 --json
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
COMMANDS = {
    "genus --help": [str(BIN / "genus"), "--help"],
    "genus pretrain --help": [str(BIN / "genus"), "pretrain", "--help"],
    "transformers --help": [str(BIN / "transformers"), "--help"],
    "python -c pass": [sys.executable, "-c", "pass"],
}


def seconds(command: list[str]) -> float:
    """Wall time of one start."""
    began = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Print medians and ratios; with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    present = {name: command for name, command in COMMANDS.items() if Path(command[0]).exists()}
    times: dict[str, list[float]] = {name: [] for name in present}
    for command in present.values():
        seconds(command)  # bytecode is written, files are in memory
    for _ in range(options.rounds):
        for name, command in present.items():
            times[name].append(seconds(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:24} {median:7.3f} s   {median / medians['genus --help']:6.2f} x genus --help")
    for name in COMMANDS.keys() - present.keys():
        print(f"{name:24} not installed")
    if options.json:
        print(json.dumps(medians))


if __name__ == "__main__":
    main()
