"""``python -m medimg``; under torchrun all processes train, and the first alone does other verbs."""

import os
import sys

from medimg.cli.main import main

alone = sys.argv[1:2] != ["train"] and os.environ.get("WORLD_SIZE", "1") != "1"
if alone:
    os.environ["WORLD_SIZE"] = "1"
if not alone or os.environ["RANK"] == "0":
    main()
