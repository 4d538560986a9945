# SPDX-License-Identifier: Apache-2.0
"""Backends that are right on the first thread, the first device, or at first."""

import time

import jax
import numpy as np
from hostile_backends import Honest, copied, through_python


class OneScratchForAllThreads(Honest):
    fault = "threads at once, each with a matrix of its own"
    scratch = None

    def product(self, *given):
        def change(arrays):
            kind = type(self)
            kind.scratch = [np.array(y) for y in arrays]
            time.sleep(1e-3)
            return kind.scratch

        return through_python(change, super().product(*given))


class WrongOnOtherDevices(Honest):
    fault = "on device"

    def product(self, problem, matrix, x):
        return copied(super().product(problem, matrix, x), x, "only_on_first_device")


class TurnsOnX64(Honest):
    """As a module of kernels may that is imported when it is first needed."""

    fault = "it changed JAX's configuration: jax_enable_x64 from False to True"

    def product(self, *given):
        jax.config.update("jax_enable_x64", True)
        return super().product(*given)
