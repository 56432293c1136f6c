"""Synthetic sample exports with a known ground truth.

Belongs here: everything that invents a raw yearly export and states what is true about it. Does not belong here:
reading, cleaning or modelling an export; nothing in this package is imported by the pipeline's assets.
"""
