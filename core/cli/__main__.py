# SPDX-License-Identifier: Apache-2.0
"""``python -m synjit.cli``."""

import sys

from . import main

sys.exit(main())
