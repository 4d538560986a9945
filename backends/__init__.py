# SPDX-License-Identifier: Apache-2.0
"""Built-in backends, one folder each: plugins like any third party's."""
