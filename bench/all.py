"""All measurements, one after the other; name some to run only those."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PARTS = ("suite", "session", "dns_speed", "mta", "idle")


def main() -> int:
    """Run the chosen parts; returns the worst of their exit statuses."""
    chosen = sys.argv[1:] or list(PARTS)
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    worst = 0
    for name in chosen:
        print(f"=== {name}", flush=True)
        done = subprocess.run([sys.executable, str(HERE / f"{name}.py")], check=False)
        worst = max(worst, done.returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
