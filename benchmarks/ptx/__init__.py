# SPDX-License-Identifier: Apache-2.0
"""Run the PTX of the GPU backend's kernels without a GPU, and check all they do.

``parsing`` reads PTX, ``operations`` says what is known of it, ``assembly`` checks a
kernel and numbers its registers; ``machine`` runs programs, interleaved at random, on
``memory``; ``execution`` is a launch. ``compiling`` has XLA compile for a GPU that is
not there (``gpus``), ``executor`` runs what it compiled, and ``backend`` is a backend
for the conformance suite made of it. ``python -m ptx`` (``make ptx``) runs the quick
cases and all ``variants``, plants ``faults``, and counts.

What an instruction does is taken from NVIDIA's *PTX ISA* document. It is not a model
of a GPU: it has no caches, no clock, and no memory order weaker than "one access after
another"; it refuses programs whose results could depend on any of these.
"""
