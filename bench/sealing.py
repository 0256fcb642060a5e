# SPDX-License-Identifier: Apache-2.0
"""What sealing costs, apart from the disk: bench_sealing.c."""

import os

import corpus
from ingest import run_program
from measure import Settings


def sealing():
    run_program('sealing', corpus.main_corpus(), '--dir', '/dev/shm' if os.access('/dev/shm', os.W_OK) else str(Settings.work))
