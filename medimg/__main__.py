"""``python -m medimg``; under torchrun all processes train, and the first alone does other verbs."""

import os
import sys

from medimg.cli.main import main
from medimg.errors import UsageError

if sys.argv[1:2] == ["train"] or os.environ.get("WORLD_SIZE", "1") == "1":
    main()
else:
    from medimg.training.rendezvous import world_size  # it loads torch

    try:
        world_size()
    except UsageError as error:
        sys.stderr.write(f"medimg: {error}\n")
        sys.exit(error.exit_status)
    os.environ["WORLD_SIZE"] = "1"
    if os.environ["RANK"] == "0":
        main()
