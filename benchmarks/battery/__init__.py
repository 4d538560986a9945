# SPDX-License-Identifier: Apache-2.0
"""Statistics that try to prove the draw wrong; ``python -m battery --help``."""
