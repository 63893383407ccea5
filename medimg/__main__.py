"""``python -m medimg``."""

from medimg.cli.main import main

main()
