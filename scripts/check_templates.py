"""Compiles every Django template and checks that djhtml would leave it as it is."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")


def main() -> int:
    import django
    from django.template import TemplateSyntaxError, engines

    django.setup()
    templates = sorted((ROOT / "templates").rglob("*.html"))
    wrong: list[str] = []
    for path in templates:
        try:
            engines["django"].from_string(path.read_text(encoding="utf-8"))
        except TemplateSyntaxError as error:
            wrong.append(f"{path.relative_to(ROOT)}: {error}")
    sys.stdout.writelines(f"{line}\n" for line in wrong)
    djhtml = [sys.executable, "-m", "djhtml", "--check", "--tabwidth", "2", *map(str, templates)]
    is_tidy = not templates or subprocess.run(djhtml, check=False).returncode == 0
    sys.stdout.write(f"{len(templates)} templates: {len(wrong)} with errors, {'tidy' if is_tidy else 'not tidy'}.\n")
    return 0 if is_tidy and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
