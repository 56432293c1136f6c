"""``reports/analysis_results.json``: every published figure over all years in one file.

Put here: nothing but the names that other packages use.
"""

from analytics_assets.core.results.document import RESULTS_VERSION, analysis_results
from analytics_assets.core.results.lists import TOP
from analytics_assets.core.results.validation import results_schema, validate

__all__ = ["RESULTS_VERSION", "TOP", "analysis_results", "results_schema", "validate"]
