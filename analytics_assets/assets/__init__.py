"""The assets, one module per group. Each is thin: read inputs, call one pure function, attach metadata, return."""

import warnings

import dagster as dg

# Observable multi-assets and explicit backfill policies are in beta; the lock pins the version they were tested with.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
# raw_export is only observed and has no backfill policy; the yearly job takes that of the others: one run per year.
warnings.filterwarnings("ignore", message="Asset job .* varying BackfillPolicies")
