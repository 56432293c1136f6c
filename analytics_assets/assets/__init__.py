"""The assets, one module per group. Each is thin: read inputs, call one pure function, attach metadata, return."""

import warnings

import dagster as dg

# Observable multi-assets and links to the code are in beta; the lock pins the version they were tested with.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
