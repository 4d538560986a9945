# SPDX-License-Identifier: Apache-2.0
"""For users of other packages: their names, over synjit's matrices."""
